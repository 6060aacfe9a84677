"""Starts the reader process, feeds it, bounds it, and says why it gave no answer."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.ipc

from convergence.errors import ConvergenceError, QueryRejected, StatementFailed
from convergence.warehouse.duckdb import reader
from convergence.warehouse.duckdb.errors import shorten
from convergence.warehouse.duckdb.results import as_bigquery

_GRACE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What one statement of a user may use."""

    seconds: float = 30.0
    memory_limit: str = "512MB"
    process_bytes: int = 2**30
    result_bytes: int = 256 * 2**20
    threads: int = 2
    concurrency: int = 4


async def run_walled(path: Path, sql: str, parameters: Mapping[str, Any], rows: int, limits: ReadLimits) -> pa.Table:
    """The first `rows` rows of a SELECT on the copy at `path`.

    Raises:
        QueryRejected: over a limit, or the engine refuses the statement.
    """
    request = {
        "path": str(path),
        "sql": sql,
        "parameters": {name: reader.encode(value) for name, value in parameters.items()},
        "rows": rows,
        "milliseconds": int(limits.seconds * 1000),
        "memory_limit": limits.memory_limit,
        "process_bytes": limits.process_bytes,
        "result_bytes": limits.result_bytes,
        "threads": limits.threads,
    }
    output, complaint = await _exchange(json.dumps(request).encode(), limits)
    return await asyncio.to_thread(_answer, output, complaint, limits)


async def _exchange(request: bytes, limits: ReadLimits) -> tuple[bytes, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        reader.__file__,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={},
        cwd="/",
    )
    try:
        async with asyncio.timeout(limits.seconds + _GRACE_SECONDS):
            output, complaint = await process.communicate(request)
    except TimeoutError as error:
        raise _too_slow(limits) from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return output, complaint.decode(errors="replace").strip()


def _answer(output: bytes, complaint: str, limits: ReadLimits) -> pa.Table:
    line, _, stream = output.partition(b"\n")
    if not line:
        raise _no_answer(complaint, limits)
    head = json.loads(line)
    if not head["ok"]:
        raise _refusal(head["error"], head["message"], limits)
    try:
        table = pa.ipc.open_stream(stream).read_all()
        return as_bigquery(table, head["types"])
    except StatementFailed as error:
        raise QueryRejected(error.message, hint=error.hint) from error
    except pa.ArrowInvalid as error:
        raise _too_much_memory(limits) from error


def _no_answer(complaint: str, limits: ReadLimits) -> ConvergenceError:
    """Out of address space a process dies as it can: by a signal without a word, or with one of these."""
    last = complaint.splitlines()[-1] if complaint else ""
    if not last or any(word in complaint for word in ("MemoryError", "bad_alloc", "Cannot allocate memory")):
        return _too_much_memory(limits)
    return StatementFailed(
        f"the reader process failed: {shorten(last)}", hint="Look for the cause in the server's log."
    )


def _refusal(kind: str, message: str, limits: ReadLimits) -> ConvergenceError:
    match kind:
        case "InterruptException":
            return _too_slow(limits)
        case "OutOfMemoryException" | "MemoryError":
            return _too_much_memory(limits)
        case "ResultTooLarge":
            return QueryRejected(f"the result is larger than {message}", hint="Select fewer columns or rows.")
        case _:
            return QueryRejected(shorten(message), hint="Correct the statement.")


def _too_slow(limits: ReadLimits) -> QueryRejected:
    return QueryRejected(
        f"the query ran longer than {limits.seconds:g} s", hint="Read fewer days, or aggregate before joining."
    )


def _too_much_memory(limits: ReadLimits) -> QueryRejected:
    return QueryRejected(
        f"the query needs more than {limits.memory_limit} of memory", hint="Read fewer days, or aggregate first."
    )
