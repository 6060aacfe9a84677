"""Bootstrap, dryrun and onboarding as the API and the command line start them: inline runs of their pipelines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from convergence.bootstrap import Platform, open_platform
from convergence.errors import Conflict, StepFailed
from convergence.settings import load_settings
from convergence.sql import Statement

ACME = {"org_slug": "Acme", "company_name": "Acme Inc.", "admin_email": "ann@acme.example"}


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    settings = load_settings({"DATA_DIR": str(tmp_path), "ENVIRONMENT": "development"})
    async with open_platform(settings) as platform:
        yield platform


async def test_bootstrap_names_what_it_made(platform):
    first = await platform.pipelines.run_inline("onetime-bootstrap")
    second = await platform.pipelines.run_inline("onetime-bootstrap")
    made = first.run.step("setup_platform").metadata
    found = second.run.step("setup_platform").metadata
    assert (made["dataset"], len(made["tables_created"]), made["tables_existing"]) == ("organizations", 11, [])
    assert (found["tables_created"], len(found["tables_existing"])) == ([], 11)


async def test_onboarding_hands_the_key_to_its_caller_and_records_it_nowhere(platform):
    await platform.pipelines.run_inline("onetime-bootstrap")
    result = await platform.pipelines.run_inline("organization-onboarding", parameters=ACME)
    api_key = result.results["api_key"]
    principal = await platform.organizations.authenticate(api_key)
    await platform.metadata_log.flush()
    recorded = []
    for table in ("org_meta_pipeline_runs_log", "org_meta_step_logs_log"):
        rows = await platform.warehouse.query(Statement(f"SELECT * FROM {table}", platform.scope.dataset))
        recorded += rows.to_pylist()
    assert principal.org.org_slug == "Acme"
    assert len(recorded) > 2
    assert api_key not in f"{recorded} {result!r}"


async def test_a_conflict_reaches_the_caller_as_itself(platform):
    await platform.pipelines.run_inline("onetime-bootstrap")
    await platform.pipelines.run_inline("organization-onboarding", parameters=ACME)
    with pytest.raises(Conflict, match="exists already"):
        await platform.pipelines.run_inline("organization-onboarding", parameters={**ACME, "org_slug": "ACME"})


async def test_dryrun_lists_its_checks(platform):
    result = await platform.pipelines.run_inline("organization-dryrun", parameters=ACME)
    outcome = result.run.step("validate_request").metadata
    failed = [check["name"] for check in outcome["checks"] if not check["passed"]]
    assert (outcome["ready_for_onboarding"], failed) == (False, ["bootstrap"])


@pytest.mark.parametrize("pipeline_id", ["onetime-bootstrap", "organization-onboarding", "organization-dryrun"])
async def test_an_organizations_run_may_not_touch_the_platform(platform, pipeline_id):
    await platform.pipelines.run_inline("onetime-bootstrap")
    await platform.pipelines.run_inline("organization-onboarding", parameters=ACME)
    with pytest.raises(StepFailed) as caught:
        await platform.pipelines.run_inline(pipeline_id, org=platform.scope.org("Acme"), parameters=ACME)
    assert caught.value.code == "platform_only"
