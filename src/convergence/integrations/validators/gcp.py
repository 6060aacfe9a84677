"""Google Cloud: a service account that may read the table of a Cloud Billing export."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from convergence.errors import CredentialInvalid, ProviderRejected, StepFailed
from convergence.integrations.billing_export import (
    ExportPlace,
    choose_tables,
    open_reader,
    read_place,
    refuse_place,
)
from convergence.integrations.models import Validation
from convergence.integrations.service_account import parse_key
from convergence.kit.window import DAY, Window
from convergence.security import redact

if TYPE_CHECKING:
    from convergence.connectors import HttpPool
    from convergence.warehouse.bigquery.exports import ExportReader, ExportTable

NEEDED_COLUMNS: Final = ("billing_account_id", "usage_start_time", "cost", "currency", "credits", "invoice")


async def check_place(
    http: HttpPool,
    org_slug: str,  # noqa: ARG001 - the protocol
    credential: str,
    metadata: Mapping[str, Any],
    *,
    now: datetime,
) -> Validation:
    """Ask for the tables, then for what a day of each would cost to read. Free of charge, and nothing is read.

    Raises:
        CredentialInvalid: not a service account's key, no right to the table, or no billing export at that place.
        ProviderUnavailable: BigQuery could not be asked.
    """
    key, place = parse_key(credential), read_place(metadata)
    try:
        reader = open_reader(http, key, place)
        try:
            tables = await _check_tables(reader, place, now)
        finally:
            await reader.close()
    except (ProviderRejected, StepFailed) as error:
        raise CredentialInvalid(
            redact(error.message), hint=error.hint, fields={"validation_status": "INVALID", "reason": error.code}
        ) from None
    return Validation(
        account={"id": f"{place.project}.{place.dataset}", "service_account": key["client_email"]},
        warnings=tuple(warning for table in tables for warning in _warn(table)),
    )


async def _check_tables(reader: ExportReader, place: ExportPlace, now: datetime) -> list[ExportTable]:
    from convergence.warehouse.bigquery.exports import Reading

    listed = () if place.tables else await reader.list_tables(place.project, place.dataset)
    found = []
    for name in choose_tables(place, listed):
        table = await reader.describe(place.project, place.dataset, name)
        missing = [column for column in NEEDED_COLUMNS if column not in table.columns]
        if missing:
            raise refuse_place(f"{table.path} is not a billing export: it has no {', '.join(missing)}")
        await reader.estimate(Reading(table, NEEDED_COLUMNS, Window(now.date() - DAY, now.date())))
        found.append(table)
    return found


def _warn(table: ExportTable) -> list[str]:
    warnings = []
    if table.rows == 0:
        warnings.append(f"{table.path} has no rows yet: a new export takes hours, its backfill up to five days")
    if table.load_time != "_PARTITIONTIME":
        warnings.append(
            f"{table.path} is not partitioned by its time of load, as Google's own exports are: every run reads all of"
            " it, and its rows count as loaded at export_time"
        )
    return warnings
