"""The command line as a user types it: in a process of its own."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

KEY = "sk-admin-cli-0123456789abcdefghijklmn"
SECONDS = 240

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["convergence.cli.app", "convergence.api.app", "convergence.warehouse.duckdb"])


class Shell:
    """Runs `convergence` with an environment of its own."""

    def __init__(self, **environment: str) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.environment = {**kept, **environment}

    def __call__(self, *words: str, text: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "convergence", *words],
            env={**self.environment, **environment},
            input=text,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def json(self, *words: str, **environment: str) -> Any:
        done = self(*words, "--json", **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


class ForkedShell(Shell):
    """The same, forked from a process that has imported the program already: that is most of what a command takes."""

    def __call__(self, *words: str, text: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryDirectory() as folder:
            given, out, err = (Path(folder, name) for name in ("in", "out", "err"))
            given.write_text(text or "")
            out.touch()
            err.touch()
            variables = {**self.environment, **environment}
            process = _FORKS.Process(target=_run, args=(words, variables, (given, out, err)))
            process.start()
            process.join(SECONDS)
            if process.exitcode is None:
                process.kill()
                raise AssertionError(f"convergence {' '.join(words)} has not ended")
            return subprocess.CompletedProcess(words, process.exitcode, out.read_text(), err.read_text())


def _run(words: tuple[str, ...], environment: dict[str, str], streams: tuple[Path, ...]) -> None:
    for number, path in enumerate(streams):
        os.dup2(os.open(path, os.O_RDWR), number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115 - until the process ends
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["convergence", *words]

    from convergence.cli import main

    main()
