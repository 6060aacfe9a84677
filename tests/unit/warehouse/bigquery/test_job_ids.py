from __future__ import annotations

import re

import pytest

from convergence.warehouse.bigquery.jobs import build_job_id, build_labels


def test_an_id_says_what_ran_and_is_the_same_for_the_same_key() -> None:
    assert build_job_id("load", "acme|2026-01-02", 3) == build_job_id("load", "acme|2026-01-02", 3)
    assert re.fullmatch(r"cvg-load-[0-9a-f]{32}-a3", build_job_id("load", "acme|2026-01-02", 3))


def test_ids_differ_by_stage_key_and_attempt() -> None:
    ids = {build_job_id("load", "a", 1), build_job_id("script", "a", 1), build_job_id("load", "b", 1)}

    assert len(ids | {build_job_id("load", "a", 2)}) == 4


LABELS = [
    ({"org": "acme"}, {"org": "acme"}),
    ({"Org": "Acme GmbH & Co."}, {"org": "acme-gmbh---co-"}),
    ({"7days": "x"}, {"x7days": "x"}),
    ({"": ""}, {"x": ""}),
    ({"a" * 80: "b" * 80}, {"a" * 63: "b" * 63}),
    ({"1" * 80: ""}, {"x" + "1" * 62: ""}),
    (None, {}),
]


@pytest.mark.parametrize(("given", "spelled"), LABELS)
def test_labels_are_spelled_as_bigquery_takes_them(given, spelled) -> None:
    assert build_labels(given) == spelled
