"""The bare floor: fetch, decode, insert. No check, no retry, no record, no transaction that spans more than a page."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import duckdb
import httpx2
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from task import DIMENSIONS, MEASURES, PATH, Outcome, Task, hand_in, read_task, timed

RESULT = pa.struct(
    [
        *((name, pa.bool_() if name == "batch" else pa.string()) for name in DIMENSIONS),
        *((name, pa.int64()) for name in MEASURES),
    ]
)
BUCKET = pa.struct([("start_time", pa.int64()), ("results", pa.list_(RESULT))])
PAGE = pa.schema([("data", pa.list_(BUCKET)), ("has_more", pa.bool_()), ("next_page", pa.string())])


def fetch(task: Task) -> Iterator[pa.Table]:
    headers = {"Authorization": f"Bearer {task.key}"}
    with httpx2.Client(base_url=task.base_url, headers=headers, timeout=60, trust_env=False) as client:
        cursor: dict[str, str] | None = {}
        while cursor is not None:
            body = client.get(PATH, params={**task.params, **cursor}).raise_for_status().content
            page = pj.read_json(
                io.BytesIO(body),
                read_options=pj.ReadOptions(use_threads=False, block_size=len(body) + 1),
                parse_options=pj.ParseOptions(explicit_schema=PAGE, unexpected_field_behavior="ignore"),
            )
            yield page
            cursor = {"page": page["next_page"][0].as_py()} if page["has_more"][0].as_py() else None


def spread(page: pa.Table) -> pa.Table:
    """A row for each result, with the day of its bucket."""
    buckets = page["data"].combine_chunks().flatten()
    results = pc.struct_field(buckets, "results")
    starts = pc.struct_field(buckets, "start_time").take(pc.list_parent_indices(results))
    days = pc.cast(pc.cast(starts, pa.timestamp("s")), pa.date32())
    rows = results.flatten()
    columns = {field.name: pc.struct_field(rows, field.name) for field in RESULT}
    return pa.table({"usage_date": days, **columns})


def load(task: Task) -> None:
    with duckdb.connect(str(Path(task.folder) / "floor.duckdb")) as connection:
        texts = ", ".join(f"{name} {'BOOLEAN' if name == 'batch' else 'VARCHAR'}" for name in DIMENSIONS)
        numbers = ", ".join(f"{name} BIGINT" for name in MEASURES)
        connection.execute(f"CREATE TABLE usage (usage_date DATE, {texts}, {numbers})")
        for page in fetch(task):
            connection.register("page", spread(page))
            connection.execute("INSERT INTO usage SELECT * FROM page")


def main() -> None:
    task, outcome = read_task(), Outcome(versions={"duckdb": duckdb.__version__, "pyarrow": pa.__version__})
    with timed(outcome):
        load(task)
    with duckdb.connect(str(Path(task.folder) / "floor.duckdb"), read_only=True) as connection:
        outcome.rows, outcome.input_tokens = connection.execute(
            "SELECT count(*), sum(input_tokens)::BIGINT FROM usage"
        ).fetchall()[0]
    hand_in(outcome)


if __name__ == "__main__":
    main()
