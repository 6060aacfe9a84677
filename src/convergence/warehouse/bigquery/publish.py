"""One load as one script: a transaction that takes the gate, plans under the fence, replaces what changed, notes it.

Every value stands in the text as a literal: BigQuery prunes partitions by literals, and not by a script's variables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

from convergence.catalog.schemas import TableSchema
from convergence.errors import ConvergenceError, LeaseLost
from convergence.kit.window import Window
from convergence.sql.googlesql import full_name
from convergence.tenancy import TableRef
from convergence.warehouse.bigquery.staging import unstaged
from convergence.warehouse.bigquery.tables import GATE, LEDGER, SCOPE_COLUMNS, SCOPES
from convergence.warehouse.protocol import Claim, WriteMode
from convergence.warehouse.requests import WHOLE_TABLE

_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})
_FENCED: Final = re.compile(r"fenced by (?P<fence>\d+) on (?P<day>[\d-]+)")


@dataclass(frozen=True, slots=True)
class Staged:
    """Rows for one table; `stage` is None where there are none."""

    table: TableRef
    schema: TableSchema
    stage: TableRef | None
    rows: int


@dataclass(frozen=True, slots=True)
class Publication:
    """What is to be published, under an id of its own."""

    publish_id: str
    project: str
    mode: WriteMode
    good: Staged
    bad: Staged | None = None
    keys: tuple[str, ...] = ()
    window: Window | None = None
    claim: Claim | None = None

    def name(self, table: str) -> str:
        return self.named(TableRef(self.good.table.dataset, table))

    def named(self, table: TableRef) -> str:
        return full_name(self.project, table)


def build_script(load: Publication) -> str:
    """The statements of the transaction, and last what became of each day."""
    statements = [
        "BEGIN TRANSACTION",
        f"UPDATE {load.name(GATE)} SET turn = turn + 1 WHERE TRUE",
        *_statements(load),
        "COMMIT TRANSACTION",
    ]
    if load.claim is not None:
        statements.append(outcomes_statement(load))
    return ";\n".join(statements) + ";"


def insert_statement(load: Publication) -> str:
    """All staged rows into their table: an append that needs no transaction."""
    return _insert(load, load.good, "TRUE")


def outcomes_statement(load: Publication) -> str:
    """The days of the publication as (day, outcome); none where it has not landed."""
    return f"SELECT day, outcome FROM {load.name(LEDGER.name)} WHERE {_of_publication(load)} ORDER BY day"


def translate_refusal(error: ConvergenceError, load: Publication) -> ConvergenceError:
    """What the script raised on its own account, in our words."""
    fenced = _FENCED.search(error.message)
    if fenced and load.claim is not None:
        return LeaseLost(
            f"{load.claim.stream} {fenced['day']}: fence {fenced['fence']} has published,"
            f" this one is {load.claim.fence}",
            hint="Stop: a newer owner does this work.",
        )
    return error


def _statements(load: Publication) -> Iterator[str]:
    if load.claim is not None:
        yield _plan(load, load.claim)
    for staged in (load.good, load.bad):
        if staged is not None:
            yield from _replace(load, staged)
    if load.claim is not None:
        yield _note_scopes(load)


def _plan(load: Publication, claim: Claim) -> str:
    """A row of the ledger for each day, with its outcome: what follows looks there which days are replaced."""
    bad = load.bad
    values = f"{claim.fence}, {text(claim.load_id)}, {text(claim.run_id)}"
    zero = "NUMERIC '0'" if claim.amount_column else "CAST(NULL AS NUMERIC)"
    columns = ", ".join(f"`{column}`" for column in SCOPE_COLUMNS)
    return (
        f"INSERT INTO {load.name(LEDGER.name)} ({columns}, outcome, publish_id, committed_at)\n"
        f"WITH days AS (SELECT day FROM {_days(load)} AS day),\n"
        f"good AS ({_measure(load, load.good, claim.amount_column)}),\n"
        f"bad AS ({_measure(load, bad, None) if bad else _nothing()}),\n"
        f"present AS ({_present(load)}),\n"
        "measured AS (SELECT days.day, IFNULL(good.n, 0) AS n, IFNULL(bad.n, 0) AS rejected,"
        f" {'IFNULL(good.amount, ' + zero + ')' if claim.amount_column else zero} AS amount,"
        " CONCAT(CAST(IFNULL(good.n, 0) AS STRING), ':', IFNULL(good.digest, ''), ':',"
        " CAST(IFNULL(bad.n, 0) AS STRING), ':', IFNULL(bad.digest, '')) AS digest,"
        " IFNULL(present.n, 0) AS present"
        " FROM days LEFT JOIN good ON good.day = days.day LEFT JOIN bad ON bad.day = days.day"
        " LEFT JOIN present ON present.day = days.day),\n"
        f"before AS (SELECT day, fence, `rows`, content_digest FROM {load.name(SCOPES.name)}"
        f" WHERE stream = {text(claim.stream)})\n"
        f"SELECT {text(claim.stream)}, measured.day, {values}, measured.n, measured.rejected, measured.amount,"
        f" measured.digest, {_outcome(load, claim)}, {text(load.publish_id)},"
        " CURRENT_TIMESTAMP()"
        " FROM measured LEFT JOIN before ON before.day = measured.day"
    )


def _outcome(load: Publication, claim: Claim) -> str:
    """Unchanged or replaced; a day that a newer owner has published ends the script."""
    said = "CONCAT('fenced by ', CAST(before.fence AS STRING), ' on ', CAST(measured.day AS STRING))"
    outcome = f"IF({_is_same(load, claim)}, 'unchanged', 'replaced')"
    return f"IF(IFNULL(before.fence, 0) > {claim.fence}, ERROR({said}), {outcome})"


def _is_same(load: Publication, claim: Claim) -> str:
    if load.mode is WriteMode.MERGE:
        return "FALSE"
    if load.mode is WriteMode.APPEND:
        return (
            f"(SELECT COUNT(*) FROM {load.name(LEDGER.name)} WHERE stream = {text(claim.stream)}"
            f" AND load_id = {text(claim.load_id)}) > 0"
        )
    same = "before.content_digest = measured.digest AND before.`rows` = measured.present"
    return f"IFNULL({same}, FALSE)"


def _measure(load: Publication, staged: Staged, amount: str | None) -> str:
    """Sums of two row hashes: the order of rows does not matter, their number does."""
    if staged.stage is None:
        return _nothing()
    columns = ", ".join(f"`{column.name}`" for column in staged.schema.measures_and_dimensions)
    total = f"SUM(`{amount}`)" if amount else "CAST(NULL AS NUMERIC)"
    sums = ", '-', ".join(
        f"CAST(SUM(CAST(FARM_FINGERPRINT({content}) AS BIGNUMERIC)) AS STRING)"
        for content in ("content", "CONCAT('second', content)")
    )
    kept = f", `{amount}`" if amount else ""
    return (
        f"SELECT day, COUNT(*) AS n, CONCAT({sums}) AS digest, {total} AS amount FROM"
        f" (SELECT {_day_of(load, staged)} AS day, TO_JSON_STRING(STRUCT({columns})) AS content{kept}"
        f" FROM {load.named(staged.stage)}) GROUP BY day"
    )


def _nothing() -> str:
    return "SELECT DATE '0001-01-01' AS day, 0 AS n, '' AS digest, NUMERIC '0' AS amount FROM (SELECT 1) WHERE FALSE"


def _present(load: Publication) -> str:
    """Rows that the table really holds: a digest says nothing about a table that was emptied by hand."""
    if load.mode not in {WriteMode.OVERWRITE, WriteMode.REPLACE_WINDOW}:
        return "SELECT DATE '0001-01-01' AS day, 0 AS n"
    condition = f"{_in_window(load, load.good)} AND {_own_part(load)}"
    return (
        f"SELECT {_day_of(load, load.good)} AS day, COUNT(*) AS n FROM {load.named(load.good.table)}"
        f" WHERE {condition} GROUP BY 1"
    )


def _replace(load: Publication, staged: Staged) -> Iterator[str]:
    """Rows out, rows in; nothing of a day that is left as it is."""
    covered = _covered(load, staged)
    name = load.named(staged.table)
    match load.mode:
        case WriteMode.MERGE if staged is load.good:
            if staged.stage is not None:
                yield f"DELETE FROM {name} WHERE {_key(load, staged)} IN ({_staged_keys(load, staged)})"
        case WriteMode.OVERWRITE | WriteMode.REPLACE_WINDOW:
            yield f"DELETE FROM {name} WHERE {_in_window(load, staged)} AND {_own_part(load)} AND {covered}"
    if staged.stage is not None:
        yield _insert(load, staged, covered)


def _insert(load: Publication, staged: Staged, condition: str) -> str:
    columns = ", ".join(f"`{column.name}`" for column in staged.schema.columns)
    values = ", ".join(unstaged(column, f"`{column.name}`") for column in staged.schema.columns)
    stage = load.named(staged.stage or staged.table)
    return f"INSERT INTO {load.named(staged.table)} ({columns}) SELECT {values} FROM {stage} WHERE {condition}"


def _covered(load: Publication, staged: Staged) -> str:
    if load.claim is None:
        return "TRUE"
    replaced = f"FROM {load.name(LEDGER.name)} WHERE {_of_publication(load)} AND outcome = 'replaced'"
    return f"{_day_of(load, staged)} IN (SELECT day {replaced})"


def _of_publication(load: Publication) -> str:
    stream = load.claim.stream if load.claim else ""
    return f"stream = {text(stream)} AND publish_id = {text(load.publish_id)}"


def _note_scopes(load: Publication) -> str:
    columns = ("fence", "load_id", "run_id", "rows", "rejected", "amount", "content_digest", "committed_at")
    updates = ", ".join(f"`{column}` = new.`{column}`" for column in columns)
    names = ", ".join(f"`{column}`" for column in ("stream", "day", *columns))
    values = ", ".join(f"new.`{column}`" for column in ("stream", "day", *columns))
    return (
        f"MERGE {load.name(SCOPES.name)} AS old USING"
        f" (SELECT * FROM {load.name(LEDGER.name)} WHERE {_of_publication(load)}) AS new"
        " ON old.stream = new.stream AND old.day = new.day"
        f" WHEN MATCHED AND new.outcome = 'replaced' THEN UPDATE SET {updates}"
        " WHEN MATCHED THEN UPDATE SET fence = new.fence"
        f" WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})"
    )


def _key(load: Publication, staged: Staged) -> str:
    """The key as text, in which NULL equals NULL and is not ''."""
    columns = {column.name: column for column in staged.schema.columns}
    parts = ", ".join(f"`{columns[key].name}` AS k{place}" for place, key in enumerate(load.keys))
    return f"TO_JSON_STRING(STRUCT({parts}))"


def _staged_keys(load: Publication, staged: Staged) -> str:
    return f"SELECT {_key(load, staged)} FROM {load.named(staged.stage or staged.table)}"


def _day_of(load: Publication, staged: Staged) -> str:
    column = staged.schema.partition_column
    return f"`{column}`" if load.window is not None and column is not None else day(WHOLE_TABLE)


def _in_window(load: Publication, staged: Staged) -> str:
    column, window = staged.schema.partition_column, load.window
    if window is None or column is None:
        return "TRUE"
    return f"`{column}` >= {day(window.start)} AND `{column}` < {day(window.end)}"


def _own_part(load: Publication) -> str:
    """The rows of the table, or of its rejects, that are the stream's."""
    if load.claim is None or load.claim.part is None:
        return "TRUE"
    column, value = load.claim.part
    return f"`{column}` = {text(value)}"


def _days(load: Publication) -> str:
    first, last = _span(load)
    return f"UNNEST(GENERATE_DATE_ARRAY({day(first)}, {day(last)}))"


def _span(load: Publication) -> tuple[date, date]:
    window = load.window
    return (window.start, window.last) if window else (WHOLE_TABLE, WHOLE_TABLE)


def day(value: date) -> str:
    return f"DATE '{value.isoformat()}'"


def text(value: str) -> str:
    """A string literal."""
    return f'"{value.translate(_ESCAPES)}"'
