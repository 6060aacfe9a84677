"""Where an organization's Cloud Billing export lies: the standard table or the detailed one, never both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from convergence.errors import CredentialInvalid, UnsupportedError

if TYPE_CHECKING:
    from convergence.connectors import HttpPool
    from convergence.warehouse.bigquery.exports import ExportReader

_PROJECT: Final = re.compile(r"(?:[a-z0-9.-]{1,100}:)?[a-z0-9-]{4,63}", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,300}", re.ASCII)
_EXPORT: Final = re.compile(r"gcp_billing_export_(?P<detailed>resource_)?v1_(?P<account>[0-9A-Za-z_]+)", re.ASCII)
_KEYS: Final = ("project", "project_id", "dataset", "dataset_id", "table", "table_id", "tables", "job_project")
_HOW: Final = (
    'Give metadata such as {"project": "my-project", "dataset": "billing", "table": "gcp_billing_export_v1_..."}, or'
    ' {"table": "my-project.billing.gcp_billing_export_v1_..."}. Billing > Billing export in the console names them.'
)


@dataclass(frozen=True, slots=True)
class ExportPlace:
    """`tables` are of one dataset, one for each billing account; without any, the dataset is looked through.

    Queries are billed to `job_project`.
    """

    project: str
    dataset: str
    tables: tuple[str, ...]
    job_project: str


def read_place(metadata: Mapping[str, Any]) -> ExportPlace:
    """The place that an integration's metadata names.

    Raises:
        CredentialInvalid: it names none, or no possible one.
    """
    unknown = sorted(set(metadata) - set(_KEYS))
    if unknown:
        raise refuse_place(f"metadata has no key {', '.join(map(repr, unknown))}; it has {', '.join(_KEYS)}")
    tables = _read_tables(metadata)
    parents = {table.rpartition(".")[0] for table in tables}
    parent = parents.pop().rpartition(".") if len(parents) == 1 else ("", "", "")
    project = _read_text(metadata, "project", "project_id") or parent[0]
    dataset = _read_text(metadata, "dataset", "dataset_id") or parent[2]
    names = tuple(table.rpartition(".")[2] for table in tables)
    place = ExportPlace(project, dataset, names, _read_text(metadata, "job_project") or project)
    _check_place(place, tables)
    return place


def choose_tables(place: ExportPlace, listed: Sequence[str] = ()) -> tuple[str, ...]:
    """The tables to read: those that are named, else the exports among the `listed` ones of the dataset.

    Raises:
        CredentialInvalid: no export, or the standard and the detailed one of an account: they hold the same money.
    """
    tables = place.tables or tuple(table for table in listed if _EXPORT.fullmatch(table))
    if not tables:
        raise refuse_place(
            f"dataset {place.project}.{place.dataset} has no billing export yet; one is named gcp_billing_export_v1_..."
            " or gcp_billing_export_resource_v1_..., and appears some hours after it was switched on"
        )
    for account, names in _by_account(tables).items():
        if len(names) > 1:
            raise refuse_place(
                f"{' and '.join(sorted(names))} hold the same money of account {account}, once by SKU and once by"
                " resource: name exactly one of them as metadata.table"
            )
    return tables


def open_reader(
    http: HttpPool, key: Mapping[str, str], place: ExportPlace, *, max_bytes: int | None = None
) -> ExportReader:
    """A reader with the customer's service account, or of the emulator that BIGQUERY_API_ENDPOINT names.

    Raises:
        ProviderRejected: the private key cannot be read.
        UnsupportedError: Google's library is not installed.
    """
    try:
        from convergence.warehouse.bigquery.exports import ExportReader
    except ModuleNotFoundError as error:
        raise UnsupportedError(
            f"reading a billing export needs {error.name}",
            code="extra_missing",
            hint='Install it: pip install "convergence[gcp]". Or load a file: convergence files load gcp FILE.',
        ) from error
    return ExportReader(key, place.job_project, endpoint=http.base_url("gcp"), max_bytes=max_bytes)


def refuse_place(message: str) -> CredentialInvalid:
    return CredentialInvalid(message, hint=_HOW, fields={"validation_status": "INVALID"})


def _read_text(metadata: Mapping[str, Any], *names: str) -> str:
    found = next((metadata[name] for name in names if metadata.get(name)), "")
    if not isinstance(found, str):
        raise refuse_place(f"metadata.{names[0]} is not text")
    return found.strip()


def _read_tables(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    given = metadata.get("tables") or metadata.get("table") or metadata.get("table_id") or []
    tables = [given] if isinstance(given, str) else given
    if not isinstance(tables, list | tuple) or not all(isinstance(table, str) for table in tables):
        raise refuse_place("metadata.tables is not a list of table names")
    return tuple(dict.fromkeys(table.strip("` ").replace(":", ".") for table in tables))


def _check_place(place: ExportPlace, tables: Iterable[str]) -> None:
    for name, value, pattern in (
        ("project", place.project, _PROJECT),
        ("dataset", place.dataset, _NAME),
        ("job_project", place.job_project, _PROJECT),
        *(("table", table, _NAME) for table in place.tables),
    ):
        if not pattern.fullmatch(value):
            raise refuse_place(f"metadata.{name} is missing" if not value else f"metadata.{name} cannot be a {name}")
    if any(table.count(".") and table.rpartition(".")[0] != f"{place.project}.{place.dataset}" for table in tables):
        raise refuse_place("the tables lie in several datasets, or elsewhere than project and dataset say")


def _by_account(tables: Iterable[str]) -> dict[str, list[str]]:
    accounts: dict[str, list[str]] = {}
    for table in tables:
        if found := _EXPORT.fullmatch(table):
            accounts.setdefault(found["account"].upper(), []).append(table)
    return accounts
