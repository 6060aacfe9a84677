"""A worker or a scheduler apart from the API, as a user starts them."""

from __future__ import annotations

import pytest
from shell import Shell

SHARED = {"LOCK_BACKEND": "redis", "QUEUE_BACKEND": "redis", "REDIS_URL": "redis://127.0.0.1:1/0"}


@pytest.mark.parametrize("command", ["worker", "scheduler"])
def test_the_embedded_warehouse_belongs_to_one_process(command, tmp_path) -> None:
    done = Shell(DATA_DIR=str(tmp_path / "data"))(command)

    assert done.returncode == 2
    assert "the embedded warehouse belongs to one process" in done.stderr
    assert "convergence serve" in done.stderr
    assert "WAREHOUSE" in done.stderr
    assert "QUEUE_BACKEND" in done.stderr
    assert not (tmp_path / "data").exists()


def test_what_is_shared_is_not_complained_about(tmp_path) -> None:
    done = Shell(DATA_DIR=str(tmp_path / "data"), **SHARED)("worker")

    assert done.returncode == 2
    assert "LOCK_BACKEND" not in done.stderr
    assert "QUEUE_BACKEND" not in done.stderr


def test_several_processes_of_the_embedded_warehouse_are_refused(tmp_path) -> None:
    done = Shell(DATA_DIR=str(tmp_path / "data"), API_WORKERS="2")("serve")

    assert done.returncode == 2
    assert "API_WORKERS" in done.stderr
    assert "WAREHOUSE=bigquery" in done.stderr
