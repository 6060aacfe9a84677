"""Runs one SELECT of a user on a read-only copy, in a process of its own that is then gone.

Run as a script, not as a module: importing the package would cost more than the query. Request on stdin as JSON, answer
on stdout: one line of JSON, then an Arrow stream where the line says ok.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import resource
import sys
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.ipc

BATCH_ROWS = 16_384


def main() -> None:
    """Answer the request on stdin."""
    request = json.load(sys.stdin.buffer)
    connection = open_copy(request)
    limit_memory(request["process_bytes"])
    try:
        answer(connection, request)
    except (duckdb.Error, MemoryError) as error:
        write_line({"ok": False, "error": type(error).__name__, "message": str(error)})


def open_copy(request: dict[str, Any]) -> duckdb.DuckDBPyConnection:
    """The copy, without files, network, extensions, Python variables or settings."""
    hardened: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "allow_unsigned_extensions": "false",
        "allow_persistent_secrets": "false",
        "python_enable_replacements": "false",
        "memory_limit": request["memory_limit"],
        "max_temp_directory_size": "0B",
        "threads": str(request["threads"]),
        "async_threads": "1",
        "max_expression_depth": "250",
        "max_execution_time": str(request["milliseconds"]),
    }
    connection = duckdb.connect(request["path"], read_only=True, config=hardened)
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET GLOBAL lock_configuration = true")
    return connection


def limit_memory(extra_bytes: int) -> None:
    """Bound the address space: DuckDB's own limit does not hold for one large value."""
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - pathlib costs an import
        used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + extra_bytes, used + extra_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer(connection: duckdb.DuckDBPyConnection, request: dict[str, Any]) -> None:
    """Write at most `rows` rows, and no more than `result_bytes`."""
    statements = connection.extract_statements(request["sql"])
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        write_line({"ok": False, "error": "NotOneSelect", "message": "only one SELECT is allowed"})
        return
    parameters = {name: decode(value) for name, value in request["parameters"].items()}
    relation = connection.sql(request["sql"], params=parameters)
    types = [str(kind) for kind in relation.types]
    batches, size = [], 0
    reader = relation.limit(request["rows"]).to_arrow_reader(BATCH_ROWS)
    for batch in reader:
        size += batch.nbytes
        if size > request["result_bytes"]:
            write_line({"ok": False, "error": "ResultTooLarge", "message": f"{request['result_bytes']} bytes"})
            return
        batches.append(batch)
    write_line({"ok": True, "types": types})
    with pa.ipc.new_stream(sys.stdout.buffer, reader.schema) as stream:
        for batch in batches:
            stream.write_batch(batch)


def decode(value: Any) -> Any:
    """A parameter as `encode` wrote it: what JSON has no type for comes as [kind, text]."""
    if not isinstance(value, list):
        return value
    kind, content = value
    match kind:
        case "list":
            return [decode(item) for item in content]
        case "decimal":
            return decimal.Decimal(content)
        case "datetime":
            return dt.datetime.fromisoformat(content)
        case "date":
            return dt.date.fromisoformat(content)
        case _:
            return bytes.fromhex(content)


def encode(value: Any) -> Any:
    """A parameter as JSON."""
    match value:
        case None | bool() | int() | str():
            return value
        case decimal.Decimal():
            return ["decimal", str(value)]
        case dt.datetime():
            return ["datetime", value.isoformat()]
        case dt.date():
            return ["date", value.isoformat()]
        case bytes():
            return ["bytes", value.hex()]
        case _:
            return ["list", [encode(item) for item in value]]


def write_line(content: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(content).encode() + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
