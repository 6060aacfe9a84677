"""Terraform's own checks, against a stand-in of the google providers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from environments import HERE, ROOT, TOP, download_wheel, program
from google_schema import write_schema

SOURCES = TOP / "infrastructure" / "terraform"
PROVIDERS = {"google": "cdktf-cdktf-provider-google", "google-beta": "cdktf-cdktf-provider-google-beta"}

_ANNOUNCED = re.compile(r"TF_REATTACH_PROVIDERS='(.*)'")
_HEADER = re.compile(r'^(resource|data) "(google_\w+)" "\w+" \{$')
_START_SECONDS = 60


def is_installed() -> bool:
    return shutil.which("terraform") is not None


def check_format() -> str:
    """What `terraform fmt` would change, or nothing."""
    return _run(["terraform", "fmt", "-check", "-diff", "-recursive", str(SOURCES)], {}, TOP)


def check_configuration() -> str:
    """What terraform finds wrong with the shapes, and the tests that fail."""
    with _providers() as environment:
        faults = _probe(environment) or _run(["terraform", "validate", "-no-color"], environment, SOURCES)
        return faults or _run(["terraform", "test", "-no-color"], environment, SOURCES)


def _probe(environment: Mapping[str, str]) -> str:
    """A configuration full of mistakes must not pass, or the stand-in has stopped looking."""
    found = _run(["terraform", "validate", "-no-color"], environment, HERE / "mistakes")
    expected = re.findall(r"# EXPECT (.*)", (HERE / "mistakes" / "main.tf").read_text())
    missed = [text for text in expected if text not in found]
    return f"the stand-in of the provider let mistakes pass: {missed}\n{found}" if missed else ""


@contextmanager
def _providers() -> Iterator[dict[str, str]]:
    """Both stand-ins as processes, and the variable that makes terraform talk to them instead of starting its own."""
    with ExitStack() as stack:
        announced: dict[str, object] = {}
        for name in PROVIDERS:
            announced |= stack.enter_context(_provider(name, _ensure_schema(name)))
        yield {"TF_REATTACH_PROVIDERS": json.dumps(announced), "TF_CLI_CONFIG_FILE": os.devnull}


@contextmanager
def _provider(name: str, schema: Path) -> Iterator[dict[str, object]]:
    log = ROOT / f"{name}.log"
    address = f"registry.terraform.io/hashicorp/{name}"
    command = [program("provider", "python"), "-u", str(HERE / "google_provider.py"), address, str(schema), "--dev"]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield _await_announcement(process, log)
    finally:
        process.kill()
        process.wait()


def _await_announcement(process: subprocess.Popen[bytes], log: Path) -> dict[str, object]:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if match := _ANNOUNCED.search(log.read_text()):
            announced: dict[str, object] = json.loads(match[1])
            return announced
        time.sleep(0.05)
    raise RuntimeError(f"the stand-in of the provider did not start:\n{log.read_text()}")


def _ensure_schema(name: str) -> Path:
    """The schema of what the sources use, extracted anew when they use something else."""
    addresses = sorted(_used_addresses(name))
    target = ROOT / f"{name}-schema.json"
    known = ROOT / f"{name}-schema.key"
    wheel = download_wheel(PROVIDERS[name], ROOT)
    key = "\n".join([wheel.name, (HERE / "google_schema.py").read_text(), *addresses])
    if not known.is_file() or known.read_text() != key:
        write_schema(wheel, target, addresses)
        known.write_text(key)
    return target


def _used_addresses(name: str) -> set[str]:
    found = set()
    for path in [*SOURCES.rglob("*.tf"), *(HERE / "mistakes").rglob("*.tf")]:
        for block in re.split(r"^(?=\w)", path.read_text(), flags=re.MULTILINE):
            header = _HEADER.match(block.partition("\n")[0])
            is_beta = re.search(r"^  provider += google-beta$", block, re.MULTILINE) is not None
            if header and is_beta == (name == "google-beta"):
                found.add(f"data.{header[2]}" if header[1] == "data" else header[2])
    return found


def _run(command: list[str], environment: Mapping[str, str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr
