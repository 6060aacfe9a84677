"""Which key and which place of a billing export are taken."""

from typing import Any

import pytest
from gcp_bench import service_account

from convergence.errors import CredentialInvalid
from convergence.integrations.billing_export import ExportPlace, choose_tables, read_place
from convergence.integrations.service_account import parse_key

STANDARD = "gcp_billing_export_v1_01A2B3_C4D5E6_F7A8B9"
DETAILED = "gcp_billing_export_resource_v1_01A2B3_C4D5E6_F7A8B9"
OTHER = "gcp_billing_export_v1_0A0A0A_0B0B0B_0C0C0C"


@pytest.mark.parametrize(
    ("credential", "reason"),
    [
        ("AIzaSyA-0123456789abcdefghijklmnopqrstu", "this is an API key"),
        ('{"type": "authorized_user", "refresh_token": "1//secret"}', "the credentials of a person"),
        ('{"type": "external_account", "credential_source": {"url": "http://169.254.169.254"}}', "workload identity"),
        ('{"installed": {"client_secret": "secret"}}', "an OAuth client"),
        ('{"type": "service_account", "project_id": "p"}', "lacks private_key, client_email"),
        ("not json secret", "not the JSON key"),
        ("[]", "not the JSON key"),
        (service_account(token_uri="http://169.254.169.254/token"), "logs in elsewhere"),
        (service_account(universe_domain="evil.example"), "logs in elsewhere"),
    ],
)
def test_what_is_no_key_of_a_service_account_is_refused(credential: str, reason: str) -> None:
    with pytest.raises(CredentialInvalid, match=reason) as caught:
        parse_key(credential)

    assert "secret" not in str(caught.value)
    assert "service account" in (caught.value.hint or "")


def test_a_key_keeps_what_logging_in_needs() -> None:
    assert (
        parse_key(service_account(extra="x", token_uri="https://oauth2.googleapis.com/token"))["type"]
        == "service_account"
    )
    assert "extra" not in parse_key(service_account(extra="x"))


@pytest.mark.parametrize(
    ("metadata", "place"),
    [
        (
            {"project": "my-project", "dataset": "billing", "table": STANDARD},
            ExportPlace("my-project", "billing", (STANDARD,), "my-project"),
        ),
        ({"table": f"my-project.billing.{STANDARD}"}, ExportPlace("my-project", "billing", (STANDARD,), "my-project")),
        ({"table": f"my-project:billing.{STANDARD}"}, ExportPlace("my-project", "billing", (STANDARD,), "my-project")),
        (
            {"project_id": "my-project", "dataset_id": "billing", "job_project": "jobs-1"},
            ExportPlace("my-project", "billing", (), "jobs-1"),
        ),
    ],
)
def test_a_place_is_named_in_parts_or_whole(metadata: dict[str, Any], place: ExportPlace) -> None:
    assert read_place(metadata) == place


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({}, "metadata.project is missing"),
        ({"project": "my-project"}, "metadata.dataset is missing"),
        ({"project": "my-project", "dataset": "b`; DROP"}, "cannot be a dataset"),
        ({"project": "my-project", "dataset": "b", "table": "t` WHERE 1=1 --"}, "cannot be a table"),
        ({"project": "my-project", "dataset": "b", "tables": [1]}, "not a list of table names"),
        ({"project": 7, "dataset": "b"}, "metadata.project is not text"),
        ({"project": "my-project", "dataset": "b", "tabel": "t"}, "no key 'tabel'"),
        ({"project": "my-project", "dataset": "b", "table": "other.b.t"}, "several datasets, or elsewhere"),
    ],
)
def test_a_place_that_cannot_be_is_refused(metadata: dict[str, Any], reason: str) -> None:
    with pytest.raises(CredentialInvalid, match=reason):
        read_place(metadata)


def test_the_standard_and_the_detailed_export_hold_the_same_money() -> None:
    place = ExportPlace("p", "d", (), "p")

    with pytest.raises(CredentialInvalid, match="hold the same money") as caught:
        choose_tables(place, [STANDARD, DETAILED, "cloud_pricing_export"])

    assert "exactly one" in str(caught.value)


def test_both_exports_named_for_one_account_are_refused_too() -> None:
    with pytest.raises(CredentialInvalid, match="hold the same money"):
        choose_tables(ExportPlace("p", "d", (STANDARD, DETAILED), "p"))


def test_each_billing_account_has_a_table_of_its_own() -> None:
    place = ExportPlace("p", "d", (), "p")

    assert choose_tables(place, [DETAILED, OTHER, "cloud_pricing_export"]) == (DETAILED, OTHER)


def test_a_dataset_without_an_export_is_refused() -> None:
    with pytest.raises(CredentialInvalid, match="has no billing export yet"):
        choose_tables(ExportPlace("p", "d", (), "p"), ["cloud_pricing_export"])
