"""Files of other machines, named `s3://bucket/clips.csv`: everything that fsspec reads, by the protocol of the name.

Such a name is a `Remote`, a path that asks its file system whether it exists. Programs that read a file get a copy on
this machine from `local`. Copies are kept for the next time, up to `CURATE_MAX_CACHE_GB`, and those unused for longest
are deleted first. Settings and credentials are those of fsspec and of each file system's own package, which also
retries what failed in passing; nothing of them is imported before the first remote name is used.
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

from curate.errors import CurateError

from .blobs import cell
from .copies import obtain, trim
from .logins import login
from .unanswered import place_of

if sys.platform == "win32":
    from pathlib import WindowsPath as Here
else:
    from pathlib import PosixPath as Here

NAME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""How the text of a remote name begins; a single letter is a drive of Windows."""
SLASHES = re.compile(r"(?<![^:])([A-Za-z][A-Za-z0-9+.-]+):/+")
PART = re.compile(r"#bytes=(\d+),(\d+)\Z")
"""How the name of a part of a file ends: where it begins, and how many bytes it has."""
CELL = re.compile(r"#cell=(\d+),([^#,]+)\Z")
"""How the name of a cell of a Parquet file ends: its row, counted from 0, and its column."""
INSIDE = re.compile(r"#(?:bytes=\d+,\d+|cell=\d+,[^#,]+)\Z")
"""How the name of either ends."""
FLAT = ("s3", "s3a", "gs", "gcs", "az", "abfs", "hf", "http", "https", "memory")
"""File systems in which a folder needs no making."""
PACKAGES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "hf": "huggingface_hub",
    "http": "aiohttp",
    "https": "aiohttp",
    "sftp": "paramiko",
    "ssh": "paramiko",
}
"""{protocol: the package that reads it}; of others fsspec says it."""
TAGS = ("ETag", "etag", "md5Hash", "md5", "sha256", "blob_id", "checksum", "Content-MD5", "Digest")
"""What file systems call a checksum of the content."""
TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")

Info = Mapping[str, Any]
Stamp = list[Any]
UNREACHABLE, UNREADABLE = "unreachable", "unreadable"
"""The status of what a file system does not answer for, and of what is there and may not be read."""
AGAIN = (UNREACHABLE, UNREADABLE)
"""What is wrong with reaching or reading a medium, and not with the medium: it is tried again."""


class RemoteError(CurateError):
    """A remote file cannot be read.

    Attributes:
        status: `missing`; `unreadable`, reading it is not allowed; `truncated`, the file ends before this part of it;
            or `unreachable`, its file system does not answer.
    """

    def __init__(self, path: Remote, status: str, cause: str, hint: str = "") -> None:
        hints = {"missing": "check the name", "truncated": "fetch it again", UNREADABLE: "check who may read it"}
        again = f"check that {place_of(str(path))} can be reached, and give the command again; what was read is kept"
        super().__init__(f"{path} {cause}", hint or hints.get(status, again))
        self.status = status


class Remote(Here):
    """The name of a file or folder on another machine; `/`, `parent`, `name` and `suffix` are those of any path.

    Questions ask the file system. Two slashes in a row are one, except after the protocol. A name that ends in
    `#bytes=512,32044` is a part of a file, also of a file of this machine, `file:///data/clips.tar#bytes=512,32044`.
    `#cell=7,audio` is what a Parquet file has in row 7 of this column.
    """

    def __str__(self) -> str:
        text = SLASHES.sub(r"\1://", super().__str__().replace("\\", "/"))
        return re.sub(r"((?:^|::)file:)//", r"\1///", text)

    @property
    def part(self) -> tuple[int, int] | None:
        """(first byte, number of bytes) of a part of a file; None for a whole file."""
        found = PART.search(str(self))
        return None if found is None else (int(found[1]), int(found[2]))

    @property
    def cell(self) -> tuple[int, str] | None:
        """(row, column) of a cell of a Parquet file; None for other files."""
        found = CELL.search(str(self))
        return None if found is None else (int(found[1]), found[2])

    @property
    def inside(self) -> bool:
        """Whether it is a part or a cell of a file."""
        return INSIDE.search(str(self)) is not None

    def exists(self, **_: Any) -> bool:
        """Whether there is such a file or folder.

        Raises:
            RemoteError: its file system does not say.
        """
        return information(self) is not None

    def is_file(self, **_: Any) -> bool:
        """Whether it is a file; raises as `exists`."""
        found = information(self)
        return found is not None and found.get("type", "file") == "file"

    def is_dir(self, **_: Any) -> bool:
        """Whether it is a folder; raises as `exists`."""
        found = information(self)
        return found is not None and found.get("type") == "directory"

    def iterdir(self) -> Generator[Remote, None, None]:
        """What is in a folder, as its file system lists it.

        Raises:
            RemoteError: it cannot be listed.
        """
        with failing(self):
            system, name = opened(self)
            for found in system.ls(name, detail=False):
                yield self / posixpath.basename(str(found).rstrip("/"))

    def open(self, mode: str = "r", *rest: Any, **options: Any) -> IO[Any]:  # type: ignore[override]
        """The copy on this machine, open for reading.

        Raises:
            RemoteError: as `local`.
        """
        if set(mode) - set("rbt"):
            raise ValueError("a remote file is written by `replacing`")
        with local(self) as file:
            return file.open(mode, *rest, **options)

    def absolute(self) -> Remote:
        """The name itself."""
        return self

    def resolve(self, strict: bool = False) -> Remote:
        """The name itself."""
        return self

    def expanduser(self) -> Remote:
        """The name itself."""
        return self

    def mkdir(self, *_: Any, **__: Any) -> None:
        """Nothing: a folder is made with its first file."""


def located(name: str | Path) -> Path:
    """The path that a text names: a `Remote` if it begins with a protocol, or is a part or a cell of a file.

    `file://` stands for this machine; what does not exist as it is written is read as a URL, with %20 for a blank.
    """
    text = str(name)
    if isinstance(name, Remote):
        return name
    if not NAME.match(text):
        return Remote(f"file://{os.path.abspath(text)}") if INSIDE.search(text) else Path(name)
    if INSIDE.search(text):
        return Remote(text)
    if not text.startswith("file:"):
        return Remote(text)
    written = Path("/", text[5:].lstrip("/"))
    return written if written.exists() else Path(unquote(str(written)))


def beside(folder: Path, name: str) -> Path:
    """The file that a text names in a table of this folder: from there, or by its whole path or URL."""
    if "://" in name:
        return located(name)
    if not isinstance(folder, Remote):
        return located(folder / name)
    if name.startswith("/"):
        return located(name)
    protocol, _, place = str(folder / name).partition("://")
    return Remote(f"{protocol}://{posixpath.normpath(place)}")


def whole(path: Path) -> str:
    """The whole path of a file of this machine, or the URL of another one."""
    return str(path) if isinstance(path, Remote) else os.path.abspath(path)


def opened(path: Remote) -> tuple[Any, str]:
    """The fsspec file system of a name, and what the file is called there.

    Raises:
        CurateError: the protocol is not known, or its package is not installed.
    """
    import fsspec

    protocol = str(path).partition("://")[0].rpartition("::")[2]
    try:
        system, name = fsspec.core.url_to_fs(INSIDE.sub("", str(path)))
        return system, name
    except ImportError as error:
        package = PACKAGES.get(protocol)
        hint = f"pip install {package}" if package else str(error)
        raise CurateError(f"{path}: {protocol}:// needs a package that is not installed", hint) from None
    except ValueError as error:
        known = ", ".join(sorted(PACKAGES))
        raise CurateError(f"{path}: {error}", f"expected a path, or a URL of {known}, ...") from None


@contextmanager
def failing(path: Remote) -> Iterator[None]:
    """Turn the errors of all file systems, which have no class in common, into a `RemoteError`."""
    try:
        yield
    except CurateError:
        raise
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        answer = getattr(error.__cause__, "status", 0) if str(path).startswith("http") else 404
        if answer in (401, 403):
            raise RemoteError(path, UNREADABLE, f"cannot be read: the server answers {answer}") from None
        if answer not in (404, 410):  # fsspec says of every error of a web server that the file does not exist
            cause = f"the server answers {answer}" if answer else _said(error.__cause__ or error)
            raise RemoteError(path, UNREACHABLE, f"could not be read: {cause}") from None
        raise RemoteError(path, "missing", "does not exist") from None
    except PermissionError as error:
        raise RemoteError(path, UNREADABLE, f"cannot be read: {_said(error)}") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise CurateError(
                f"no space is left for a copy of {path}", "choose another cache folder (CURATE_CACHE)"
            ) from None
        raise RemoteError(path, UNREACHABLE, f"could not be read: {_said(error)}", login(path, error)) from None


def _said(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def information(path: Remote) -> Info | None:
    """What the file system knows of a file or folder; None if there is none.

    Raises:
        RemoteError: it does not say.
    """
    try:
        with failing(path):
            system, name = opened(path)
            found: Info = system.info(name)
            return found
    except RemoteError as error:
        if error.status == "missing":
            return None
        raise


def stamp_of(found: Info) -> Stamp:
    """[size in bytes, checksum or else time of modification], as far as they are known."""
    tag = next((str(found[key]) for key in (*TAGS, *TIMES) if found.get(key)), None)
    return [found.get("size"), tag]


@contextmanager
def local(path: Path) -> Iterator[Path]:
    """A file of this machine: the path itself, or a copy of a remote file, which stays while the block runs.

    Raises:
        RemoteError: it does not exist, or cannot be read.
        CurateError: the disk is full.
    """
    if not isinstance(path, Remote):
        yield path
        return
    with failing(path):
        system, name = opened(path)
        found = system.info(name)
        if found.get("type") == "directory":
            raise RemoteError(path, "missing", "is a folder; of folders only those on this machine are read")
        size, ending = found.get("size") or 0, path.suffix.partition("?")[0]
        if path.inside:
            size, ending = path.part[1] if path.part else 0, ""
        used = obtain(f"{path} {stamp_of(found)}", ending, size, lambda fresh: download(path, fresh))
    size = os.fstat(used.fileno()).st_size
    try:
        with used:
            yield Path(used.name)
    finally:
        trim(size)


def download(path: Remote, file: Path) -> None:
    """Copy a remote file to a file of this machine.

    Raises:
        RemoteError: it does not exist, cannot be read, or is not complete.
        CurateError: the disk is full.
    """
    with failing(path):
        system, name = opened(path)
        size = system.info(name).get("size")
        if path.part:
            begin, length = path.part
            if size is not None and begin + length > size:
                raise RemoteError(path, "truncated", f"is cut off: the whole file has {size} bytes")
            size = length
            file.write_bytes(system.cat_file(name, begin, begin + length))
        elif path.cell:
            size = _write_cell(path, file)
        else:
            system.get_file(name, str(file))
        if size is not None and file.stat().st_size != size:
            system.invalidate_cache()  # it may have been written anew since it was listed
            raise OSError(f"{file.stat().st_size} of its {size} bytes arrived")


def _write_cell(path: Remote, file: Path) -> int:
    """Copy a cell of a Parquet file to a file of this machine; its size, bytes."""
    assert path.cell is not None
    with local(located(INSIDE.sub("", str(path)))) as whole_file:
        content = cell(whole_file, *path.cell)
    if content is None:
        raise RemoteError(path, "missing", "is empty: the file has no bytes there")
    return file.write_bytes(content)


def upload(file: Path, path: Remote) -> None:
    """Copy a file of this machine to a remote name.

    Raises:
        CurateError: it cannot be written there.
    """
    try:
        system, name = opened(path)
        if str(path).partition("://")[0] not in FLAT:
            system.makedirs(posixpath.dirname(name), exist_ok=True)
        system.put_file(str(file), name)
        system.invalidate_cache()
    except CurateError:
        raise
    except NotImplementedError:
        raise CurateError(f"cannot write {path}: nothing can be written there", "name a file elsewhere") from None
    except Exception as error:  # file systems have no class of errors in common
        place = place_of(str(path))
        hint = login(path, error) or f"check the name, that {place} can be reached, and who may write there"
        raise CurateError(f"cannot write {path}: {_said(error)}", hint) from None
