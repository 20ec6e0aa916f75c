"""Install what was built into empty environments, and use it elsewhere: `python packaging/smoke.py dist`.

Works where Python does: no shell, no make. Prints what it runs; its exit code is that of the first command that failed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

CLASSES = ("yes", "no")
QUESTION = "SELECT count(*) AS samples, count(p_balanced) AS scored FROM samples"


def main() -> None:
    """Try every file that was built: the source archive too, which builds its own wheel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the .whl and the .tar.gz")
    parser.add_argument("--version", help="what `curate --version` must print")
    given = parser.parse_args()
    files = [file.resolve() for ending in ("*.whl", "*.tar.gz") for file in sorted(given.folder.glob(ending))]
    if len(files) != 2:
        sys.exit(f"expected one wheel and one source archive in {given.folder}, found {[file.name for file in files]}")
    for file in files:
        with tempfile.TemporaryDirectory() as place:
            try_out(file, Path(place), given.version)


def try_out(file: Path, place: Path, version: str | None) -> None:
    """Install one file into an environment below `place`, and go from predictions to a selection and a page there."""
    venv.create(place / "environment", with_pip=True)
    scripts = place / "environment" / ("Scripts" if os.name == "nt" else "bin")
    ending = ".exe" if os.name == "nt" else ""
    run([scripts / f"python{ending}", "-m", "pip", "install", "--quiet", file], place)
    (place / "work").mkdir()
    write_predictions(place / "work" / "predictions.csv")
    (place / "work" / "train.py").write_text("raise SystemExit('the wrong train was imported')\n", encoding="utf-8")

    def curate(*words: str) -> str:
        return run([scripts / f"curate{ending}", *words], place / "work")

    told = curate("--version").split()[-1]
    if version is not None and told != version:
        sys.exit(f"the version is {told}, not {version}")
    curate("score", "--predictions", "predictions.csv")
    print(curate("sql", QUESTION))
    curate("select", "--threshold", "0.5", "-o", "kept.csv")
    curate("export", "--to", "parquet", "-o", "all.parquet")
    curate("report", "-o", "page")
    curate("doctor")
    for made in ("curate.duckdb", "kept.csv", "all.parquet", "page/*/index.html"):
        if not any(path.stat().st_size for path in (place / "work").glob(made)):
            sys.exit(f"{made} is not there, or empty")
    print(f"{file.name}: installed and used")


def write_predictions(path: Path) -> None:
    """60 samples of two classes; the sound is sure, the picture is right by a hair, and wrong for every tenth."""
    lines = ["sample_id,label," + ",".join(f"{m}.{c}" for m in ("audio", "visual") for c in CLASSES)]
    for i in range(60):
        label = i % 2
        audio, visual = 0.9 + 0.001 * i, (0.3 if i % 10 == 0 else 0.6 + 0.003 * i)
        cells = [p if c == label else 1 - p for p in (audio, visual) for c in range(2)]
        lines.append(f"s{i},{CLASSES[label]}," + ",".join(f"{cell:.3f}" for cell in cells))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(command: list[str | Path], folder: Path) -> str:
    """What a command prints; this script ends where it fails."""
    print("+", *(Path(command[0]).name, *map(str, command[1:])), flush=True)
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\nexit code {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
