"""The checks' own environments under .venv-infra/, each built once for its list of packages."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
ROOT = TOP / ".venv-infra"
CONSTRAINTS = HERE / "constraints.txt"


def program(environment: str, name: str) -> str:
    """The path of a program that an environment has."""
    return str(ROOT / environment / "bin" / name)


def ensure_environment(name: str) -> None:
    """Build `.venv-infra/NAME` from `requirements-NAME.txt`, unless it is there as it should be."""
    wanted = _fingerprint(name)
    stamp = ROOT / name / ".installed"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    shutil.rmtree(ROOT / name, ignore_errors=True)
    venv.create(ROOT / name, with_pip=True)
    _install(name)
    stamp.write_text(wanted)


def _fingerprint(name: str) -> str:
    content = (HERE / f"requirements-{name}.txt").read_bytes() + CONSTRAINTS.read_bytes()
    return hashlib.sha256(content + sys.version.encode()).hexdigest()


def _install(name: str) -> None:
    arguments = ["--quiet", "--constraint", str(CONSTRAINTS), "--requirement", str(HERE / f"requirements-{name}.txt")]
    uv = Path(program("lint", "uv"))
    if uv.is_file():
        fast = [str(uv), "pip", "install", "--python", program(name, "python"), *arguments]
        if subprocess.run(fast, capture_output=True, check=False).returncode == 0:
            return
    # pip is slower, and reads the configuration of this machine, which uv does not.
    _pip(name, "install", *arguments)


def _pip(environment: str, *arguments: str) -> None:
    command = [program(environment, "python"), "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"check-infra: {' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def download_wheel(package: str, folder: Path) -> Path:
    """A wheel of exactly the version that the constraints name, downloaded once."""
    version = _version(package)
    pattern = f"{package.replace('-', '_')}-{version}-*.whl"
    if not any(folder.glob(pattern)):
        _pip("lint", "download", "--quiet", "--no-deps", "--dest", str(folder), f"{package}=={version}")
    return next(folder.glob(pattern))


def _version(package: str) -> str:
    pins = dict(line.split("==") for line in CONSTRAINTS.read_text().splitlines() if "==" in line)
    return pins[package]
