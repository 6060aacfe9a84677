"""The export's rows as the files that BigQuery writes of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def write_ndjson(rows: Iterable[Mapping[str, Any]], path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_parquet(rows: Iterable[Mapping[str, Any]], path: Path) -> Path:
    """Times as timestamps, FLOAT as double, what is nested as lists and records."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(list(rows))
    for name in ("usage_start_time", "usage_end_time", "export_time"):
        texts = pc.replace_substring(table[name], " UTC", "Z")
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pc.cast(texts, pa.timestamp("us", tz="UTC")))
    pq.write_table(table, path)
    return path
