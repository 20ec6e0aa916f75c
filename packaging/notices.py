"""Write THIRD_PARTY.md: what `curate` installs beside itself, and under which licence: `python packaging/notices.py`.

The licences are those that the installed packages declare. Nothing of others is part of a wheel of `curate`.
"""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAD = """# What is installed with curate

A wheel of `curate` contains the code of this project alone. `pip` installs these packages beside it, each under its
own licence; PyTorch's wheels for NVIDIA cards bring NVIDIA's libraries under NVIDIA's. Written by
`packaging/notices.py` from what the packages declare.

| package | licence | needed by |
|---|---|---|
"""

CONTAINS = {"av": "; its wheels contain FFmpeg", "opencv-python-headless": "Apache-2.0; its wheels contain FFmpeg"}
"""What the packages' own statement leaves out, or where they are not part of the usual installation."""


def wanted() -> dict[str, list[str]]:
    """{package: the parts of `curate` that need it}, ascending; the base is "everything"."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    parts = {"everything": project["dependencies"], **project["optional-dependencies"]}
    found: dict[str, list[str]] = {}
    for part, requirements in parts.items():
        for requirement in requirements:
            found.setdefault(re.match(r"[\w.-]+", requirement)[0].lower(), []).append(part)
    return dict(sorted(found.items()))


def licence(package: str) -> str:
    """The licence that an installed package declares, in a few words."""
    try:
        about = metadata(package)
    except PackageNotFoundError:
        return CONTAINS.get(package, "see the package")
    classifiers = [c.split(" :: ")[-1] for c in about.get_all("Classifier") or [] if c.startswith("License ::")]
    short = (about.get("License") or "").strip().split("\n")[0]
    said = about.get("License-Expression") or ", ".join(classifiers) or short[:60] or "see the package"
    return said + CONTAINS.get(package, "")


if __name__ == "__main__":
    rows = [f"| {package} | {licence(package)} | {', '.join(parts)} |\n" for package, parts in wanted().items()]
    (ROOT / "THIRD_PARTY.md").write_text(HEAD + "".join(rows), encoding="utf-8")
