"""The emulator itself: what the other tests take for granted."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bigquery_emulator import LOCATION, BigQueryEmulator
from google.api_core.exceptions import Conflict, NotFound
from google.cloud import bigquery

SUPPORT = Path(__file__).parents[2] / "support"


@pytest.fixture
def client(bigquery_emulator: BigQueryEmulator):
    with bigquery_emulator.client(bigquery_emulator.project()) as made:
        yield made


def parquet(**columns) -> io.BytesIO:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    file.seek(0)
    return file


def load(client: bigquery.Client, job_id: str) -> bigquery.LoadJob:
    table = f"{client.project}.costs.usage"
    schema = [bigquery.SchemaField("tokens", "INT64")]
    config = bigquery.LoadJobConfig(source_format="PARQUET", schema=schema, write_disposition="WRITE_APPEND")
    return client.load_table_from_file(parquet(tokens=[1, 2]), table, job_id=job_id, job_config=config).result()


def test_projects_never_meet(bigquery_emulator, client):
    client.create_dataset("costs")
    with bigquery_emulator.client(bigquery_emulator.project()) as stranger, pytest.raises(NotFound):
        stranger.get_dataset("costs")


def test_a_query_runs_once_under_one_id(client):
    client.create_dataset("costs")
    client.query("CREATE TABLE costs.usage (tokens INT64)", job_id="a", job_retry=None).result()

    with pytest.raises(Conflict):
        client.query("DROP TABLE costs.usage", job_id="a", job_retry=None)

    assert client.get_job("a", location=LOCATION).state == "DONE"
    assert [table.table_id for table in client.list_tables("costs")] == ["usage"]


def test_a_load_runs_once_under_one_id(client):
    client.create_dataset("costs")
    loaded = load(client, "b")

    with pytest.raises(Conflict):
        load(client, "b")

    assert (loaded.job_id, loaded.output_rows) == ("b", 2)
    assert [tuple(row) for row in client.query("SELECT COUNT(*) FROM costs.usage").result()] == [(2,)]


def test_it_ends_with_whoever_started_it():
    script = textwrap.dedent("""
        import time
        import bigquery_emulator
        with bigquery_emulator.emulating() as emulator:
            print(emulator.endpoint, flush=True)
            time.sleep(600)
    """)
    owner = subprocess.Popen([sys.executable, "-c", script], cwd=SUPPORT, stdout=subprocess.PIPE)
    with owner:
        owner.stdout.readline()
        emulator = children(owner.pid)
        owner.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + 180
    while any(alive(pid) for pid in emulator) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert emulator
    assert [pid for pid in emulator if alive(pid)] == []


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
