"""With --server: the same commands over HTTP, with the keys of the environment."""

from decimal import Decimal

import pytest
from served import ROOT_KEY, serving
from shell import KEY, Shell


@pytest.fixture(scope="module")
def server(tmp_path_factory, simulator):
    with serving(tmp_path_factory.mktemp("served") / "data", OPENAI_BASE_URL=simulator.base_urls["openai"]) as started:
        yield started


@pytest.fixture(scope="module")
def remote(server):
    return Shell(CONVERGENCE_SERVER=f"http://127.0.0.1:{server.port}", CA_ROOT_API_KEY=ROOT_KEY)


@pytest.fixture(scope="module")
def key(remote):
    assert remote("bootstrap").returncode == 0
    made = remote.json("org", "onboard", "acme", "--company", "Acme", "--email", "a@example.com")
    return made["api_key"]


def test_the_whole_way_over_http(remote, key, truth):
    with_key = {"CONVERGENCE_API_KEY": key}
    done = remote("integration", "setup", "acme", "openai", "--credential-file", "-", text=KEY, **with_key)
    assert done.returncode == 0, done.stderr
    run = remote.json("run", "acme", "openai-usage-cost", "--from", "2026-11-01", "--to", "2026-11-05", **with_key)
    assert run["status"] == "COMPLETED"
    report = remote.json("costs", "acme", "--from", "2026-11-01", "--to", "2026-11-05", **with_key)
    assert Decimal(report["total"]["billed_cost"]) == truth["cost"]["total"]


def test_without_a_key_it_says_which_variable(remote):
    done = remote("costs", "acme")
    assert done.returncode == 2
    assert "CONVERGENCE_API_KEY" in done.stderr


def test_a_wrong_key_is_refused(remote, key):
    done = remote("costs", "acme", CONVERGENCE_API_KEY=key[:-1] + ("a" if key[-1] != "a" else "b"))
    assert done.returncode == 2


def test_another_organizations_key_finds_nothing(remote, key):
    other = remote.json("org", "onboard", "globex", "--company", "G", "--email", "g@example.com")["api_key"]
    done = remote("costs", "acme", CONVERGENCE_API_KEY=other)
    assert done.returncode == 2
    assert "acme" in done.stderr


def test_no_server_there_says_so(remote):
    done = remote("costs", "acme", CONVERGENCE_SERVER="http://127.0.0.1:9", CONVERGENCE_API_KEY="x")
    assert done.returncode == 1
    assert "convergence serve" in done.stderr
