"""`curate doctor`."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement

from curate.commands.messages import print_text
from curate.commands.options import DB, Db, Quiet
from curate.files.machine import memory

from .opening import TRIO

NEEDED_FOR = {
    "train": "score with a model, train, evaluate, compare, demo",
    "text": "texts by a tokeniser or a model of Hugging Face",
    "encoders": "encoders of timm and Hugging Face",
    "flow": "optical flow computed from video",
    "lightning": "curate.lightning",
    "transformers": "curate.transformers",
    "tensorboard": "--track tensorboard",
    "mlflow": "--track mlflow",
    "wandb": "--track wandb",
    "trackio": "--track trackio",
    "view": "view",
    "ray": "prepare and score with --engine ray",
    "remote": "s3:// and https://",
}
"""{extra of the package: what lacks without it}."""


def doctor(db: Db = DB, quiet: Quiet = False) -> None:
    """Tell versions, devices, decoders, space and what is missing for which command, to paste into a bug report.

    With --quiet only what is a problem.
    """
    told = [(name, text) for name, text in facts(db) if not quiet or name == "problem"]
    if told:
        print_text("\n".join(f"{name:16}{text}" for name, text in told))


def facts(db: Path) -> Iterator[tuple[str, str]]:
    """(what, found) of the installation, the machine, and a sample table."""
    yield "curate", f"{_installed('curate-mm')}, Python {platform.python_version()}, {platform.platform()}"
    wanted = [Requirement(r) for r in requires("curate-mm") or ()]
    base = [r for r in wanted if not _extra(r)]
    yield "packages", ", ".join(f"{r.name} {_installed(r.name)}" for r in base)
    if absent := [r.name for r in base if not _fits(r)]:
        yield "problem", f"missing, or of another version than is needed: {', '.join(absent)}; pip install curate-mm"
    for extra, use in NEEDED_FOR.items():
        yield from _extra_facts(extra, use, [r for r in wanted if _extra(r) == extra])
    yield from _machine()
    yield from _decoders()
    yield from _table(db)
    named = [k for k in sorted(os.environ) if k.startswith("CURATE_")]
    yield (
        "settings",
        f"{'curate.toml here' if Path('curate.toml').exists() else 'no curate.toml here'}; "
        + (", ".join(f"{k}={os.environ[k]}" for k in named) or "no CURATE_ variables"),
    )


def _extra(requirement: Requirement) -> str:
    """The extra that a requirement belongs to; '' for none."""
    return next((e for e in NEEDED_FOR if requirement.marker and requirement.marker.evaluate({"extra": e})), "")


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _fits(requirement: Requirement) -> bool:
    found = _installed(requirement.name)
    return found != "missing" and requirement.specifier.contains(found, prereleases=True)


def _extra_facts(extra: str, use: str, wanted: list[Requirement]) -> Iterator[tuple[str, str]]:
    found = ", ".join(f"{r.name} {_installed(r.name)}" for r in wanted)
    if all(map(_fits, wanted)):
        yield f"[{extra}]", found
    else:
        yield f"[{extra}]", f"{found}; needed for: {use}; pip install 'curate-mm[{extra}]'"


def _machine() -> Iterator[tuple[str, str]]:
    found = memory()
    yield "machine", f"{os.cpu_count()} cores" + (f", {found / 1e9:.1f} GB of memory" if found else "")
    if all(find_spec(name) for name in TRIO):
        try:
            import torch

            cards = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
            shown = ", ".join(f"cuda:{i} {c.name}, {c.total_memory / 1e9:.0f} GB" for i, c in enumerate(cards))
            yield "devices", shown or "cpu, no CUDA device"
        except (ImportError, OSError, RuntimeError) as error:
            yield "problem", f"torch cannot be imported: {str(error).splitlines()[0]}"
    from curate.files.copies import near

    for name, folder in (("here", Path()), ("cache", near())):
        there = next(p for p in (folder, *folder.absolute().parents) if os.path.exists(p))
        yield name, f"{folder.absolute()}, {shutil.disk_usage(there).free / 1e9:.1f} GB free"


def _decoders() -> Iterator[tuple[str, str]]:
    try:
        import av
        from PIL import features

        parts = [f"{k} {'.'.join(map(str, v))}" for k, v in sorted(av.library_versions.items())]
        pictures = [k for k in ("webp", "avif", "jpg_2000", "libtiff") if features.check(k)]
        yield "decoders", f"{', '.join(parts)}; pictures: {', '.join(pictures)}"
    except (ImportError, OSError) as error:
        yield "problem", f"media cannot be decoded: {str(error).splitlines()[0]}"


def _table(db: Path) -> Iterator[tuple[str, str]]:
    from curate.errors import CurateError, counted
    from curate.store.store import Store

    if not db.exists():
        yield "table", f"none at {db}"
        return
    try:
        store = Store(db)
        with store.together():
            runs, samples = store.rows("SELECT (SELECT count(*) FROM run), (SELECT count(*) FROM sample)")[0]
        yield "table", f"{db}, {db.stat().st_size / 1e6:.1f} MB, {counted(runs, 'run')}, {counted(samples, 'sample')}"
    except CurateError as error:
        yield "problem", f"{error.message}; {error.hint}"


COMMANDS = (doctor,)
