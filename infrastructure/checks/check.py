"""Checks infrastructure/ without a cloud. What has passed and has not changed since is not checked again.

pip brings everything but terraform, which is a program of its own: where it is missing that part is not checked, which
is said, and with CI=true is a failure.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import terraform
from environments import HERE, ROOT, TOP, ensure_environment, program

INFRASTRUCTURE = TOP / "infrastructure"
_STAMPS = ROOT / "passed"
_SKIPPED = (".venv", ".git", ".convergence", "node_modules", "__pycache__", ".terraform")


@dataclass(frozen=True, slots=True)
class Check:
    """One look at some files: `run` answers what is wrong with them, or nothing."""

    name: str
    run: Callable[[], str]
    files: tuple[Path, ...]
    environments: tuple[str, ...] = ()


def main() -> int:
    """Run what has changed; the exit code says whether everything is in order."""
    checks = _checks()
    changed = [check for check in checks if not _is_unchanged(check)]
    for name in dict.fromkeys(name for check in changed for name in check.environments):
        ensure_environment(name)
    with ThreadPoolExecutor(max_workers=2) as pool:
        failed = [check.name for check, passed in zip(changed, pool.map(_passes, changed), strict=True) if not passed]
    if not terraform.is_installed() and not _say_unchecked():
        failed.append("terraform")
    print(f"check-infra: {len(checks) - len(changed)} unchanged, {len(failed)} failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


def _checks() -> list[Check]:
    sources = _files(terraform.SOURCES, "*")
    dockerfiles = _files(INFRASTRUCTURE, "Dockerfile*")
    scripts = tuple(_scripts())
    build = INFRASTRUCTURE / "cloudbuild.yaml"
    checks = [
        Check("shellcheck", lambda: _lint("shellcheck", *scripts), scripts, ("lint",)),
        Check("hadolint", lambda: _lint("hadolint", *dockerfiles), dockerfiles, ("lint",)),
        Check("cloud build", lambda: _check_build(build), (build,), ("lint",)),
        Check("checkov", _check_policies, (*sources, *dockerfiles), ("lint", "policy")),
    ]
    if terraform.is_installed():
        checks.append(Check("terraform fmt", terraform.check_format, sources))
        needed = ("lint", "provider")
        checks.append(Check("terraform validate and test", terraform.check_configuration, sources, needed))
    return checks


def _is_unchanged(check: Check) -> bool:
    stamp = _stamp(check)
    return stamp.is_file() and stamp.read_text() == _fingerprint(check.files)


def _passes(check: Check) -> bool:
    started = time.monotonic()
    faults = check.run()
    print(f"{check.name}: {'FAILED' if faults else 'ok'} ({time.monotonic() - started:.1f} s)", flush=True)
    if faults:
        print(faults, file=sys.stderr)
    else:
        _stamp(check).parent.mkdir(parents=True, exist_ok=True)
        _stamp(check).write_text(_fingerprint(check.files))
    return not faults


def _stamp(check: Check) -> Path:
    return _STAMPS / check.name.replace(" ", "-")


def _fingerprint(files: Iterable[Path]) -> str:
    """Of what is checked, and of what checks it."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted({*files, *_files(HERE, "*")}):
        digest.update(f"{path.relative_to(TOP)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _files(folder: Path, pattern: str) -> tuple[Path, ...]:
    return tuple(sorted(path for path in folder.rglob(pattern) if path.is_file() and not _is_skipped(path)))


def _scripts() -> list[Path]:
    found = [path for path in TOP.glob("*/**/*.sh") if not _is_skipped(path)]
    return sorted({*found, *TOP.glob("*.sh"), TOP / ".ci" / "run"})


def _is_skipped(path: Path) -> bool:
    return any(part.startswith(_SKIPPED) for part in path.relative_to(TOP).parts)


def _lint(name: str, *files: Path) -> str:
    return _run([program("lint", name), *map(str, files)]) if files else f"{name}: there is nothing to check"


def _check_build(path: Path) -> str:
    return _run([program("lint", "check-jsonschema"), "--builtin-schema", "vendor.cloudbuild", str(path)])


def _check_policies() -> str:
    return _run([program("policy", "checkov"), "--config-file", str(HERE / "checkov.yaml")])


def _run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _say_unchecked() -> bool:
    """Whether it is all right that terraform is missing."""
    print(
        "check-infra: NOT CHECKED: infrastructure/terraform. There is no terraform on this machine.\n"
        "check-infra: Install terraform 1.9 or newer (HashiCorp's own packages, or your system's) to check it.",
        file=sys.stderr,
    )
    return os.environ.get("CI") != "true"


if __name__ == "__main__":
    sys.exit(main())
