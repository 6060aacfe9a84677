"""The deployment, with gcloud and terraform played by two small programs: they would talk to Google."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Server, serving

REPOSITORY = Path(__file__).parents[3]
DIGEST = "sha256:" + "0123456789abcdef" * 4
PROJECT = "acme-convergence"

GCLOUD = """#!/bin/sh
echo "gcloud $*" >>"$CALLS"
case "$*" in
  "secrets versions list"*) [ -e "$CALLS.no-secrets" ] || echo 1 ;;
  "builds submit"*) echo build-7 ;;
  "builds describe"*)
    [ -e "$CALLS.asked" ] || { : >"$CALLS.asked"; echo WORKING; exit; }
    cat "$CALLS.build" 2>/dev/null || echo SUCCESS ;;
  "artifacts docker images describe"*) echo DIGEST ;;
esac
""".replace("DIGEST", DIGEST)

TERRAFORM = """#!/bin/sh
shift
echo "terraform $*" >>"$CALLS"
case "$*" in
  "state list") cat "$CALLS.state" 2>/dev/null ;;
  "output -raw image_repository") echo us-east1-docker.pkg.dev/PROJECT/convergence ;;
  "output -raw api_url") echo "$API_URL" ;;
esac
""".replace("PROJECT", PROJECT)


class Checkout:
    """A commit of the scripts, and the programs that they call."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.calls_file = folder / "calls"
        self.calls_file.touch()
        terraform = self.folder / "infrastructure" / "terraform"
        terraform.mkdir(parents=True)
        for name in ("infrastructure/simple_deploy.sh", "pyproject.toml"):
            (self.folder / name).write_bytes((REPOSITORY / name).read_bytes())
        for environment in ("stage", "prod"):
            (terraform / f"{environment}.tfvars").write_text('alert_emails = ["ann@acme.example"]\n')
        self._programs = folder / "programs"
        self._programs.mkdir()
        for name, text in (("gcloud", GCLOUD), ("terraform", TERRAFORM)):
            (self._programs / name).write_text(text)
            (self._programs / name).chmod(0o755)
        for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "all"]):
            identity = ["-c", "user.name=Ann", "-c", "user.email=ann@acme.example"]
            subprocess.run(["git", *identity, *words], cwd=self.folder, check=True)

    def holds(self, suffix: str, text: str = "") -> None:
        """What a program finds at Google: .state, .build, .no-secrets."""
        self.calls_file.with_name(f"calls{suffix}").write_text(text)

    def deploy(self, *words: str, api_url: str = "http://127.0.0.1:9") -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "HOME": str(self.folder.parent),
            "CALLS": str(self.calls_file),
            "API_URL": api_url,
            "POLL_SECONDS": "0.1",
        }
        return subprocess.run(
            ["bash", "infrastructure/simple_deploy.sh", *words],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def calls(self, start: str) -> list[str]:
        return [line for line in self.calls_file.read_text().splitlines() if line.startswith(start)]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("deployed") / "data") as server:
        yield server


def applied(project: str, environment: str) -> str:
    variables = f"-var-file={environment}.tfvars -var project={project} -var environment={environment}"
    return f"terraform apply -input=false -auto-approve {variables}"


def test_a_known_environment_gets_the_image_by_digest(checkout: Checkout, server: Server) -> None:
    checkout.holds(".state", 'google_cloud_run_v2_service.service["api"]\n')
    address = f"http://127.0.0.1:{server.port}"
    done = checkout.deploy("stage", "--project", PROJECT, api_url=address)

    image = f"us-east1-docker.pkg.dev/{PROJECT}/convergence/convergence@{DIGEST}"
    assert done.returncode == 0, done.stderr
    assert checkout.calls("terraform apply") == [f"{applied(PROJECT, 'stage')} -var image={image}"]
    assert f"infrastructure/simple_test.sh stage --url {address}" in done.stdout


def test_the_build_knows_commit_version_and_region(checkout: Checkout, server: Server) -> None:
    checkout.holds(".state", 'google_cloud_run_v2_service.service["api"]\n')
    checkout.deploy("stage", "--project", PROJECT, api_url=f"http://127.0.0.1:{server.port}")

    revision = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=checkout.folder, capture_output=True, text=True, check=True
    ).stdout.strip()
    [submitted] = checkout.calls("gcloud builds submit")
    assert f"_REGION=us-east1,_REVISION={revision},_VERSION=0." in submitted


def test_an_empty_project_is_built_and_waits_for_its_secrets(checkout: Checkout) -> None:
    checkout.holds(".no-secrets")
    done = checkout.deploy("stage", "--project", PROJECT)

    assert done.returncode == 3
    assert checkout.calls("terraform apply") == [applied(PROJECT, "stage")]
    assert checkout.calls("gcloud builds") == []
    wanted = ("convergence-root-key", "convergence-root-secret")
    assert [name for name in wanted if f"gcloud secrets versions add {name}" not in done.stdout] == []


def test_a_first_apply_that_broke_off_is_completed(checkout: Checkout) -> None:
    checkout.holds(".no-secrets")
    checkout.holds(".state", "google_artifact_registry_repository.images\n")
    done = checkout.deploy("stage", "--project", PROJECT)

    assert (done.returncode, checkout.calls("terraform apply")) == (3, [applied(PROJECT, "stage")])


def test_a_failed_build_deploys_nothing(checkout: Checkout) -> None:
    checkout.holds(".state", 'google_cloud_run_v2_service.service["api"]\n')
    checkout.holds(".build", "FAILURE\n")
    done = checkout.deploy("prod", "--project", PROJECT, "--yes")

    assert (done.returncode, checkout.calls("terraform apply")) == (1, [])
    assert "FAILURE" in done.stderr


def test_a_dirty_tree_is_refused(checkout: Checkout) -> None:
    (checkout.folder / "left.txt").write_text("not committed")
    done = checkout.deploy("stage", "--project", PROJECT)

    assert (done.returncode, "dirty" in done.stderr, checkout.calls("")) == (2, True, [])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "Usage:"),
        (("production",), "Usage:"),
        (("stage", "prod"), "one environment"),
        (("stage",), "no project"),
        (("prod", "--project", PROJECT), "--yes"),
    ],
)
def test_nothing_is_done_before_all_is_clear(checkout: Checkout, words: tuple[str, ...], reason: str) -> None:
    done = checkout.deploy(*words)

    assert (done.returncode, reason in done.stderr, checkout.calls("terraform")) == (2, True, [])


def test_an_environment_without_its_variables_is_refused(checkout: Checkout) -> None:
    subprocess.run(["git", "rm", "--quiet", "infrastructure/terraform/stage.tfvars"], cwd=checkout.folder, check=True)
    identity = ["-c", "user.name=Ann", "-c", "user.email=ann@acme.example"]
    subprocess.run(["git", *identity, "commit", "--quiet", "--message", "less"], cwd=checkout.folder, check=True)
    done = checkout.deploy("stage", "--project", PROJECT)

    assert (done.returncode, "stage.tfvars.example" in done.stderr) == (2, True)


def test_help_needs_nothing(checkout: Checkout) -> None:
    done = checkout.deploy("--help")

    assert (done.returncode, "Exit codes:" in done.stdout, checkout.calls("")) == (0, True, [])
