"""dlt: its REST API source into its DuckDB destination, written as its documentation shows.

A bucket's day belongs to each of its results, so the resource hands out results with the day of their bucket, through
the documented `yield_map` processing step: one flat table, as the others make. The write disposition is `replace`: the
same rows after a second run without a key to look up, which `merge` would need.

With `--tuned` its documented levers are pulled: Parquet instead of INSERT statements, uncompressed and larger work
files, and a normalizer on each core.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from task import PATH, Outcome, Task, hand_in, read_task, timed

TUNED = {
    "NORMALIZE__WORKERS": "2",
    "NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true",
    "DATA_WRITER__BUFFER_MAX_ITEMS": "50000",
    "EXTRACT__DATA_WRITER__FILE_MAX_ITEMS": "100000",
}
QUIET = {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}
os.environ.update(QUIET | (TUNED if "--tuned" in sys.argv else {}))

import dlt  # noqa: E402 (reads its settings from the environment)
import duckdb  # noqa: E402
from dlt.sources.rest_api import rest_api_source  # noqa: E402


def spread(bucket: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for result in bucket["results"]:
        yield {"start_time": bucket["start_time"], **result}


def build_source(task: Task) -> Any:
    return rest_api_source(
        {
            "client": {
                "base_url": task.base_url,
                "auth": {"type": "bearer", "token": task.key},
                "paginator": {"type": "cursor", "cursor_path": "next_page", "cursor_param": "page"},
            },
            "resources": [
                {
                    "name": "usage",
                    "write_disposition": "replace",
                    "endpoint": {"path": PATH.lstrip("/"), "params": task.params, "data_selector": "data"},
                    "processing_steps": [{"yield_map": spread}],
                }
            ],
        }
    )


def main() -> None:
    task, outcome = read_task(), Outcome(versions={"dlt": version("dlt"), "duckdb": duckdb.__version__})
    file = Path(task.folder) / "dlt.duckdb"
    with timed(outcome):
        pipeline = dlt.pipeline(
            "bench",
            destination=dlt.destinations.duckdb(str(file)),
            dataset_name="usage",
            pipelines_dir=str(Path(task.folder) / "pipelines"),
        )
        pipeline.run(build_source(task), loader_file_format="parquet" if "--tuned" in sys.argv else None)
    with duckdb.connect(str(file), read_only=True) as connection:
        outcome.rows, outcome.input_tokens = connection.execute(
            "SELECT count(*), sum(input_tokens)::BIGINT FROM usage.usage"
        ).fetchall()[0]
    hand_in(outcome)


if __name__ == "__main__":
    main()
