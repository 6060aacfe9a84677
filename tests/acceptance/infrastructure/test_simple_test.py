"""The smoke test of a deployment, against a server on this machine."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import ROOT_KEY, Server, free_port, serving

REPOSITORY = Path(__file__).parents[3]
SCRIPT = REPOSITORY / "infrastructure" / "simple_test.sh"
CHECKS = [
    "the process lives",
    "warehouse, queue and state store answer",
    "nobody without a key",
    "nobody with a wrong key",
    "bootstrap",
    "bootstrap again creates nothing",
    "an organization could be onboarded",
    "the dry run left nothing behind",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("deployed") / "data") as server:
        yield server


def smoke(*words: str, root_key: str | None = ROOT_KEY) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **({"CA_ROOT_API_KEY": root_key} if root_key else {})}
    return subprocess.run(
        ["bash", SCRIPT, *words], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def outcomes(printed: str) -> list[tuple[str, str]]:
    lines = [line for line in printed.splitlines() if line.startswith(("ok ", "FAIL "))]
    return [(line.split()[0], line.split(maxsplit=1)[1].split(": HTTP")[0]) for line in lines]


def test_every_check_passes_and_passes_again(server: Server) -> None:
    done = [smoke("stage", "--url", url(server.port)) for _ in range(2)]

    assert [one.returncode for one in done] == [0, 0], done[-1].stdout + done[-1].stderr
    assert [outcomes(one.stdout) for one in done] == [[("ok", name) for name in CHECKS]] * 2


def test_a_wrong_root_key_fails_and_is_not_printed(server: Server) -> None:
    done = smoke("prod", "--url", url(server.port) + "/", root_key="a-key-of-somebody-else-0123456789")

    assert done.returncode == 1
    assert [outcome for outcome, _ in outcomes(done.stdout)] == ["ok"] * 4 + ["FAIL"] * 4
    assert "somebody-else" not in done.stdout + done.stderr


def test_nobody_there_is_said_once() -> None:
    done = smoke("stage", "--url", url(free_port()))

    assert (done.returncode, outcomes(done.stdout)) == (1, [("FAIL", CHECKS[0])])
    assert "connect" in done.stdout


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "Usage:"),
        (("production",), "Usage:"),
        (("stage", "prod"), "one environment"),
        (("stage", "--url"), "--url needs a URL"),
        (("stage",), "GCP_PROJECT_ID is not set"),
    ],
)
def test_bad_usage_is_refused(words: tuple[str, ...], reason: str) -> None:
    done = smoke(*words)

    assert (done.returncode, reason in done.stderr) == (2, True)


def test_help_needs_nothing() -> None:
    done = smoke("--help", root_key=None)

    assert (done.returncode, "Exit codes:" in done.stdout) == (0, True)
