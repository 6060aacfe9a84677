"""The command line as a user types it: in a process of its own."""

import json
import os
import subprocess
import sys

KEY = "sk-admin-cli-0123456789abcdefghijklmn"


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
            timeout=120,
            check=False,
        )

    def json(self, *words: str, **environment: str):
        done = self(*words, "--json", **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
