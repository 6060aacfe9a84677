"""The emulator of BigQuery as a process: prints its two ports as a line of JSON and ends when its standard input does.

Runs in an environment of its own (`make bigquery-emulator`); whoever started it holds the other end of standard input,
so that no emulator outlives the tests, however they end.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import threading
from contextvars import ContextVar
from pathlib import Path
from typing import Any

# The emulator logs to standard output as soon as it is imported: its lines go to standard error from here on.
_ANNOUNCEMENTS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

from bqemulator.api.routes import jobs, tables, upload  # noqa: E402 - see above
from bqemulator.catalog.memory_repository import MemoryCatalogRepository  # noqa: E402 - see above
from bqemulator.config import LogLevel, Settings  # noqa: E402 - see above
from bqemulator.domain.errors import AlreadyExistsError  # noqa: E402 - see above
from bqemulator.server import EmulatorServer  # noqa: E402 - see above
from bqemulator.sql import builtin_udfs  # noqa: E402 - see above
from bqemulator.storage.sql_identifiers import quoted_table_ref  # noqa: E402 - see above
from bqemulator.storage.type_map import bq_schema_to_duckdb_columns  # noqa: E402 - see above

_job_id: ContextVar[str] = ContextVar("job_id")


def accept_any_media_type() -> None:
    """BigQuery's own client sends the file as `*/*`, which the emulator refuses and BigQuery takes."""
    upload._PERMITTED_MEDIA_CONTENT_TYPES = (*upload._PERMITTED_MEDIA_CONTENT_TYPES, "*/*")


def hash_in_c() -> None:
    """FARM_FINGERPRINT in pure Python costs more than the load itself, and its sums only meet one another."""

    def fingerprint(data: bytes) -> int:
        return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")

    builtin_udfs._farm_fingerprint64 = fingerprint


class JobIds:
    """Every id that a caller chose, taken from the moment its job starts: a second job under it is a conflict.

    The emulator runs a query again under the same id, and gives a load a random id of its own.
    """

    def __init__(self) -> None:
        self._taken: set[tuple[str, str]] = set()

    def take(self, project_id: str, job_id: str) -> None:
        if (project_id, job_id) in self._taken:
            raise AlreadyExistsError(f"Already Exists: Job {project_id}:US.{job_id}")
        self._taken.add((project_id, job_id))

    def keep_for_queries(self) -> None:
        handle = jobs._handle_query_job

        async def handle_once(project_id: str, job_id: str, *arguments: Any, dry_run: bool, **options: Any) -> Any:
            if not dry_run:
                self.take(project_id, job_id)
            return await handle(project_id, job_id, *arguments, dry_run=dry_run, **options)

        jobs._handle_query_job = handle_once

    def keep_for_loads(self) -> None:
        run, read, make = upload._run_load, upload._load_configuration_from_envelope, upload._new_job_id

        def read_with_id(envelope: dict[str, Any]) -> dict[str, Any]:
            return {**read(envelope), "jobId": envelope.get("jobReference", {}).get("jobId")}

        async def run_once(*, project_id: str, configuration: dict[str, Any], **options: Any) -> Any:
            job_id = configuration.pop("jobId", None) or make()
            self.take(project_id, job_id)
            _job_id.set(job_id)
            return await run(project_id=project_id, configuration=configuration, **options)

        upload._load_configuration_from_envelope = read_with_id
        upload._run_load = run_once
        upload._new_job_id = _job_id.get


def widen_tables() -> None:
    """A table that gains columns by its resource gains them in the emulator's list, and here in the engine too."""
    update = MemoryCatalogRepository.update_table

    def update_and_alter(self: MemoryCatalogRepository, table: Any) -> Any:
        before = self.get_table(table.project_id, table.dataset_id, table.table_id)
        for statement in _alterations(before, table) if before is not None and table.view_query is None else ():
            self._engine.execute(statement)
        return update(self, table)

    MemoryCatalogRepository.update_table = update_and_alter


def _alterations(before: Any, after: Any) -> list[str]:
    old, new = (dict(bq_schema_to_duckdb_columns(_raw(table))) for table in (before, after))
    name = quoted_table_ref(after.project_id, after.dataset_id, after.table_id)
    added = [f'ALTER TABLE {name} ADD COLUMN "{column}" {kind}' for column, kind in new.items() if column not in old]
    changed = [column for column, kind in new.items() if old.get(column, kind) != kind]
    return added + [f'ALTER TABLE {name} ALTER COLUMN "{column}" SET DATA TYPE {new[column]}' for column in changed]


def _raw(table: Any) -> list[dict[str, Any]]:
    return [tables._field_to_rest(field) for field in table.schema_.fields]


def end_with_standard_input(folder: Path) -> None:
    """Whoever was killed could not tidy up: the folder goes with the process."""

    def wait() -> None:
        sys.stdin.buffer.read()
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


class Announced(EmulatorServer):
    """Says where it listens once both doors are open."""

    async def start(self) -> None:
        await super().start()
        _ANNOUNCEMENTS.write(json.dumps({"rest": self.rest_port, "grpc": self.grpc_port}) + "\n")
        _ANNOUNCEMENTS.flush()


def settings(staging: Path) -> Settings:
    return Settings(
        rest_port=0,
        grpc_port=0,
        log_level=LogLevel.WARNING,
        enable_format_extensions=False,
        upload_staging_dir=staging,
    )


if __name__ == "__main__":
    home = Path(sys.argv[1])
    end_with_standard_input(home)
    accept_any_media_type()
    hash_in_c()
    widen_tables()
    job_ids = JobIds()
    job_ids.keep_for_queries()
    job_ids.keep_for_loads()
    Announced(settings(home / "uploads")).run_forever()
