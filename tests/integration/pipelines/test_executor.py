"""Steps run in the order of their dependencies, and every way to end is recorded."""

import asyncio
import gc
from datetime import date

import pytest

from convergence.errors import Conflict
from convergence.kit.window import Window
from convergence.pipelines.models import RunStatus, StepStatus

DIAMOND = """
  - {step_id: extract_a, ps_type: trial.note}
  - {step_id: extract_b, ps_type: trial.note, depends_on: [extract_a], seconds: 0.2}
  - {step_id: extract_c, ps_type: trial.note, depends_on: [extract_a], seconds: 0.2}
  - {step_id: load_d, ps_type: trial.note, depends_on: [extract_b, extract_c], rows: 5}
"""


async def test_steps_follow_their_dependencies_and_independent_ones_overlap(bench):
    bench.write_pipeline(DIAMOND)
    async with bench.open() as platform:
        run = await bench.run(platform)
    lines = bench.lines()
    assert run.status is RunStatus.COMPLETED
    assert lines[:2] == ["begin extract_a", "end extract_a"]
    assert sorted(lines[2:4]) == ["begin extract_b", "begin extract_c"]
    assert lines[-2:] == ["begin load_d", "end load_d"]


async def test_a_completed_run_says_what_it_did(bench):
    bench.write_pipeline(DIAMOND)
    async with bench.open() as platform:
        run = await bench.run(platform, window=Window.inclusive(date(2026, 11, 1), date(2026, 11, 3)))
        pipeline = platform.pipelines.find("trial-work")
    assert run.metadata["rows_processed"] == 8
    assert run.config_version == pipeline.config_version
    assert run.worker_instance == platform.worker.instance
    assert (run.start_date, run.end_date) == (date(2026, 11, 1), date(2026, 11, 3))
    assert run.duration_ms > 0
    assert [step.metadata["days"] for step in run.steps] == [3, 3, 3, 3]


async def test_the_default_is_yesterday(bench):
    bench.write_pipeline("  - {step_id: extract_a, ps_type: trial.note}\n")
    async with bench.open() as platform:
        run = await bench.run(platform)
        today = platform.clock.now().date()
    assert run.start_date == run.end_date
    assert (today - run.end_date).days == 1


async def test_what_a_step_returns_in_private_is_recorded_nowhere(bench):
    bench.write_pipeline("  - {step_id: extract_a, ps_type: trial.note}\n")
    async with bench.open() as platform:
        run = await bench.run(platform)
        assert "shown once" not in str(run)
    assert b"shown once" not in b"".join(p.read_bytes() for p in (bench.folder / "data").rglob("*.duckdb"))


async def test_stop_fails_the_run_and_skips_the_rest(bench):
    bench.write_pipeline("""
  - {step_id: extract_a, ps_type: trial.fail, kind: terminal}
  - {step_id: load_b, ps_type: trial.note, depends_on: [extract_a]}
  - {step_id: load_c, ps_type: trial.note, depends_on: [load_b]}
""")
    async with bench.open() as platform:
        run = await bench.run(platform)
    assert run.status is RunStatus.FAILED
    assert run.error_code == "step_failed"
    assert [step.status for step in run.steps] == [StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.SKIPPED]
    assert bench.lines() == []


@pytest.mark.parametrize("on_failure", ["continue", "alert"])
async def test_continue_and_alert_let_the_rest_go_on(bench, on_failure):
    bench.write_pipeline(f"""
  - {{step_id: extract_a, ps_type: trial.fail, kind: terminal, on_failure: {on_failure}}}
  - {{step_id: load_b, ps_type: trial.note, depends_on: [extract_a]}}
""")
    async with bench.open() as platform:
        run = await bench.run(platform)
    assert run.status is RunStatus.COMPLETED
    assert [step.status for step in run.steps] == [StepStatus.FAILED, StepStatus.COMPLETED]
    assert run.metadata["failed_steps"] == ["extract_a"]
    assert [alert["step_id"] for alert in run.metadata.get("alerts", [])] == (
        ["extract_a"] if on_failure == "alert" else []
    )


async def test_a_transient_error_is_tried_again_and_completed_steps_are_not(bench):
    bench.write_pipeline(
        """
  - {step_id: extract_a, ps_type: trial.note}
  - {step_id: extract_b, ps_type: trial.fail, kind: transient, times: 2, depends_on: [extract_a]}
""",
        head="retry_attempts: 3\n",
    )
    async with bench.open() as platform:
        run = await bench.run(platform)
    assert (run.status, run.attempt) == (RunStatus.COMPLETED, 2)
    assert run.error_message is None
    assert [step.attempt for step in run.steps] == [1, 3]
    assert bench.lines() == ["begin extract_a", "end extract_a"]


async def test_retries_end(bench):
    bench.write_pipeline("  - {step_id: extract_a, ps_type: trial.fail, kind: transient}\n", head="retry_attempts: 2\n")
    async with bench.open() as platform:
        run = await bench.run(platform)
    assert (run.status, run.error_code, run.steps[0].attempt) == (RunStatus.FAILED, "provider_unavailable", 3)


async def test_a_retry_waits_as_long_as_the_provider_asked(bench):
    bench.write_pipeline(
        "  - {step_id: extract_a, ps_type: trial.fail, kind: transient, times: 1, retry_after: 1.0}\n",
        head="retry_attempts: 1\n",
    )
    async with bench.open() as platform:
        run = await bench.run(platform)
    assert run.status is RunStatus.COMPLETED
    assert run.duration_ms >= 1000


async def test_a_broken_processor_ends_its_run_and_shows_no_secret(bench):
    bench.write_pipeline("  - {step_id: extract_a, ps_type: trial.fail, kind: broken}\n")
    async with bench.open() as platform:
        run = await bench.run(platform)
    assert (run.status, run.error_code) == (RunStatus.FAILED, "step_broken")
    assert "ValueError" in run.error_message
    assert "CANARY" not in run.error_message + run.steps[0].error_message


async def test_losing_the_lease_writes_nothing_more(bench):
    bench.write_pipeline("  - {step_id: extract_a, ps_type: trial.fail, kind: lease, times: 1}\n")
    async with bench.open() as platform:
        run = await bench.accept(platform)
        await asyncio.sleep(0.5)
        current = await platform.pipelines.get(platform.scope.org("acme"), run.run_id)
        assert current.status is RunStatus.RUNNING
        await platform.worker.sweep()
        run = await bench.finish(platform, run)
    assert run.status is RunStatus.COMPLETED


async def test_two_steps_that_lose_the_lease_at_once_are_heard(bench, caplog):
    steps = [f"  - {{step_id: extract_{name}, ps_type: trial.fail, kind: lease, times: 1}}\n" for name in "abc"]
    bench.write_pipeline("".join(steps))
    async with bench.open() as platform:
        run = await bench.accept(platform)
        await asyncio.sleep(0.5)
        await platform.worker.sweep()
        run = await bench.finish(platform, run)
    gc.collect()
    assert run.status is RunStatus.COMPLETED
    assert [record for record in caplog.records if "never retrieved" in record.message] == []


async def test_cancel_while_it_waits(bench):
    bench.write_pipeline(DIAMOND)
    async with bench.open(work=False) as platform:
        run = await bench.accept(platform)
        org = platform.scope.org("acme")
        run = await platform.pipelines.cancel(org, run.run_id)
        assert run.status is RunStatus.CANCELLED
        assert {step.status for step in run.steps} == {StepStatus.CANCELLED}
        assert (await platform.quotas.usage("acme")).slots == {}
        with pytest.raises(Conflict):
            await platform.pipelines.cancel(org, run.run_id)


async def test_cancel_while_it_runs(bench):
    bench.write_pipeline("""
  - {step_id: extract_a, ps_type: trial.note}
  - {step_id: extract_b, ps_type: trial.note, seconds: 60, depends_on: [extract_a]}
  - {step_id: load_c, ps_type: trial.note, depends_on: [extract_b]}
""")
    async with bench.open(HEARTBEAT_SECONDS="1") as platform:
        run = await bench.accept(platform)
        while "begin extract_b" not in bench.lines():
            await asyncio.sleep(0.01)
        await platform.pipelines.cancel(platform.scope.org("acme"), run.run_id)
        run = await bench.finish(platform, run)
    assert run.status is RunStatus.CANCELLED
    assert [step.status for step in run.steps] == [
        StepStatus.COMPLETED,
        StepStatus.CANCELLED,
        StepStatus.CANCELLED,
    ]


async def test_a_shutdown_hands_the_run_back_and_the_next_start_resumes_it(bench):
    bench.write_pipeline("""
  - {step_id: extract_a, ps_type: trial.note}
  - {step_id: extract_b, ps_type: trial.note, seconds: 1.5, depends_on: [extract_a]}
""")
    async with bench.open() as platform:
        run = await bench.accept(platform)
        while "begin extract_b" not in bench.lines():
            await asyncio.sleep(0.01)
    async with bench.open(onboard=False) as platform:
        run = await bench.finish(platform, run)
    assert (run.status, run.attempt) == (RunStatus.COMPLETED, 0)
    assert bench.lines() == ["begin extract_a", "end extract_a", "begin extract_b", "begin extract_b", "end extract_b"]


async def test_records_reach_the_warehouse_before_the_process_ends(bench):
    bench.write_pipeline(DIAMOND)
    async with bench.open(METADATA_LOG_FLUSH_INTERVAL_SECONDS="3600") as platform:
        run = await bench.run(platform)
        await platform.metadata_log.close()
        found, _ = await platform.runs.page("acme", status=None, pipeline_id=None, limit=10, cursor=None)
    assert [(record.run_id, record.status, len(record.steps)) for record in found] == [
        (run.run_id, RunStatus.COMPLETED, 4)
    ]


async def test_one_run_of_a_pipeline_at_a_time(bench):
    bench.write_pipeline("  - {step_id: extract_a, ps_type: trial.note, seconds: 0.3}\n")
    async with bench.open() as platform:
        runs = [await bench.accept(platform) for _ in range(3)]
        for run in runs:
            await bench.finish(platform, run)
    assert bench.lines() == ["begin extract_a", "end extract_a"] * 3


async def test_run_timeout_fails_the_run(bench):
    bench.write_pipeline("  - {step_id: extract_a, ps_type: trial.note, seconds: 60}\n")
    async with bench.open(work=False) as platform:
        pipeline = platform.pipelines.find("trial-work")
        run = await bench.accept(platform)
        from dataclasses import replace

        from convergence.pipelines.executor import Execution, Outcome

        short = replace(pipeline, timeout_minutes=0.005)
        executor = platform.pipelines._executor
        outcome = await executor.execute(Execution(run, short))
        run = await platform.pipelines.get(platform.scope.org("acme"), run.run_id)
    assert outcome is Outcome.FINISHED
    assert (run.status, run.error_code) == (RunStatus.FAILED, "run_timeout")


async def test_templates_fill_values_of_a_step(bench):
    bench.write_pipeline(
        '  - {step_id: extract_a, ps_type: trial.note, rows: "{parameters.many}"}\n', head="parameters: {many: 7}\n"
    )
    async with bench.open() as platform:
        run = await bench.run(platform)
    assert run.steps[0].rows_processed == 7
