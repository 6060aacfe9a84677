"""Builds .venv-focus/: `lint` for FOCUS 1.4, and the official `validator`, which only Python 3.12 can run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
VALIDATOR_PYTHON = "3.12"  # it pins NumPy 1.26, which has no wheels for later ones


def main(folder: Path) -> None:
    """Whatever was there is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder / "lint", with_pip=True)
    _install(folder / "lint", HERE / "lint.txt")
    python = find_python()
    if python is None:
        print(f"no Python {VALIDATOR_PYTHON} here: the official FOCUS validator is left out")
        return
    subprocess.run([python, "-m", "venv", str(folder / "validator")], check=True)
    _install(folder / "validator", HERE / "validator.txt")


def find_python() -> str | None:
    """The first of the right version that runs: on PATH, one of pyenv's, or one that uv knows."""
    return next((one for one in _candidates() if _is_right(one)), None)


def _candidates() -> Iterator[str]:
    yield from filter(None, (shutil.which(f"python{VALIDATOR_PYTHON}"), shutil.which("python3")))
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from map(str, sorted(pyenv.glob(f"versions/{VALIDATOR_PYTHON}.*/bin/python")))
    if uv := shutil.which("uv"):
        found = subprocess.run(
            [uv, "python", "find", "--no-python-downloads", VALIDATOR_PYTHON],
            capture_output=True,
            text=True,
            check=False,
        )
        yield from found.stdout.splitlines()[:1]


def _is_right(python: str) -> bool:
    asked = [python, "-c", "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False)
    return told.stdout.strip() == VALIDATOR_PYTHON


def _install(environment: Path, constraints: Path) -> None:
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--requirement", str(constraints)], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
