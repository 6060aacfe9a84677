"""What the pages on deployment name is there: commands, routes, variables, outputs, files."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from convergence.api.app import create_app
from convergence.cli.app import app
from convergence.settings import Settings

REPOSITORY = Path(__file__).parents[3]
INFRASTRUCTURE = REPOSITORY / "infrastructure"
PAGE = (REPOSITORY / "docs" / "howto" / "deploy-to-google-cloud.md").read_text(encoding="utf-8")
REFERENCE = (REPOSITORY / "docs" / "reference" / "infrastructure.md").read_text(encoding="utf-8")
PLACEHOLDERS = {"BILLING_ACCOUNT", "KEY_ID"}


def blocks(page: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)


def lines(page: str) -> list[str]:
    """The shell's lines, continued ones joined, without comments."""
    joined = "\n".join(blocks(page)).replace("\\\n", " ")
    return [line for line in (re.sub(r"\s+# .*", "", line).strip() for line in joined.splitlines()) if line]


def code(page: str) -> str:
    """Everything that is set as code."""
    return "\n".join(
        lines(page) + re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE))
    )


def commands(page: str) -> list[str]:
    return sorted({line for line in code(page).splitlines() if line.startswith("convergence ")})


def requests(page: str) -> list[tuple[str, str]]:
    return sorted(
        {
            ("POST" if re.search(r" -d |X POST", line) else "GET", path)
            for line in lines(page)
            for path in re.findall(r"\$CONVERGENCE_SERVER(/[\w/$-]*)", line)
        }
    )


def terraform(kind: str) -> set[str]:
    text = "".join(path.read_text(encoding="utf-8") for path in (INFRASTRUCTURE / "terraform").glob("*.tf"))
    return set(re.findall(rf'^{kind} "(\w+)"', text, flags=re.MULTILINE))


@pytest.mark.parametrize("command", commands(PAGE) + commands(REFERENCE))
def test_the_command_line_takes_each_command(command: str) -> None:
    words = shlex.split(command)[1:]
    found: Any = get_command(app)
    while hasattr(found, "commands"):
        assert words[0] in found.commands, command
        found = found.commands[words.pop(0)]

    found.make_context(command, words)  # refuses unknown options and missing arguments


@pytest.fixture(scope="module")
def routes() -> set[tuple[str, str]]:
    """Method and pattern of each."""
    paths = create_app(Settings(), work=False, schedule=False).openapi()["paths"]
    return {(method.upper(), re.sub(r"\{\w+\}", r"[^/]+", path)) for path in paths for method in paths[path]}


@pytest.mark.parametrize(("method", "path"), requests(PAGE))
def test_the_api_has_each_route(routes: set[tuple[str, str]], method: str, path: str) -> None:
    assert [pattern for verb, pattern in routes if verb == method and re.fullmatch(pattern, path)]


def test_every_variable_is_read_by_somebody() -> None:
    sources = [*INFRASTRUCTURE.glob("simple_*.sh"), *(REPOSITORY / "src" / "convergence" / "cli").glob("*.py")]
    read = "".join(source.read_text(encoding="utf-8") for source in sources)
    substitutions = set(
        yaml.safe_load((INFRASTRUCTURE / "cloudbuild.yaml").read_text(encoding="utf-8"))["substitutions"]
    )
    named = set(re.findall(r"\b_?[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b|\b_[A-Z]+\b", code(PAGE) + code(REFERENCE)))
    known = {name.upper() for name in Settings.model_fields} | substitutions | PLACEHOLDERS

    assert [name for name in sorted(named - known) if not re.search(rf"\b{name}\b", read)] == []


def test_every_output_and_variable_of_terraform_is_there() -> None:
    outputs = set(re.findall(r"terraform output (?:-raw )?(\w+)", PAGE))
    variables = set(re.findall(r"`(\w+) = \{", PAGE)) | {
        "project",
        "region",
        "alert_emails",
        "domain",
        "daily_query_gib",
    }

    assert len(outputs) == 3
    assert outputs - terraform("output") == set()
    assert variables - terraform("variable") == set()


def test_every_path_is_in_the_repository() -> None:
    named = set(re.findall(r"infrastructure/[\w./-]*\w", code(PAGE) + code(REFERENCE)))
    made = {"infrastructure/terraform/stage.tfvars", "infrastructure/terraform/.terraform.lock.hcl"}

    assert [path for path in sorted(named - made) if not (REPOSITORY / path).exists()] == []
    assert [
        path
        for path in re.findall(r"^\| `([\w./]+)`", REFERENCE.split("## The image")[0], flags=re.MULTILINE)
        if not (INFRASTRUCTURE / path).exists()
    ] == []


def test_every_secret_and_job_is_named_by_terraform() -> None:
    secrets = set(re.findall(r"convergence-root-\w+", PAGE))
    jobs = set(re.findall(r"jobs run convergence-(\w+)", PAGE))
    named = (INFRASTRUCTURE / "terraform" / "secrets.tf").read_text(encoding="utf-8")
    scheduled = (INFRASTRUCTURE / "terraform" / "scheduler.tf").read_text(encoding="utf-8")

    assert secrets == set(re.findall(r"convergence-root-\w+", named))
    assert jobs - set(re.findall(r"^    (\w+) = \{", scheduled, flags=re.MULTILINE)) == set()
