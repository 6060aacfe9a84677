from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError
from itertools import pairwise
from pathlib import Path

import pytest

from convergence.catalog.pipelines import Pipeline, Step, load_pipeline
from convergence.catalog.tree import Place
from convergence.errors import ConfigError, Fault

Tree = Callable[[Mapping[str, str]], Path]


def load(tree: Tree, text: str) -> Pipeline:
    root = tree({"openai/usage.yml": text})
    return load_pipeline(root / "openai" / "usage.yml", Place("openai", "usage"))


def faults(tree: Tree, text: str) -> list[Fault]:
    with pytest.raises(ConfigError) as caught:
        load(tree, text)
    return list(caught.value.faults)


def brief(found: list[Fault]) -> list[tuple[int | None, str | None, str]]:
    return [(fault.line, fault.key, fault.message) for fault in found]


def test_a_good_file_becomes_a_pipeline(tree: Tree, good: str) -> None:
    pipeline = load(tree, good)

    assert pipeline == Pipeline(
        pipeline_id="openai-usage-cost",
        description="Usage",
        schedule="0 4 * * *",
        timeout_minutes=60,
        retry_attempts=2,
        parameters={"endpoint": "completions"},
        steps=(
            Step("extract_usage", "openai.usage", (), 10, "stop", {"endpoints": ["{parameters.endpoint}"]}),
            Step("transform_cost", "openai.cost", ("extract_usage",), 60, "alert", {}),
        ),
        provider="openai",
        domain="usage",
        path=pipeline.folder / "usage.yml",
        folder=pipeline.path.parent,
        config_version=hashlib.sha256(good.encode()).hexdigest()[:12],
        location="openai/usage",
    )


def test_what_is_left_out_has_its_default(tree: Tree) -> None:
    pipeline = load(tree, "pipeline_id: p\nsteps: [{step_id: load_x, ps_type: a.b}]\n")

    assert (pipeline.description, pipeline.schedule, pipeline.timeout_minutes, pipeline.retry_attempts) == (
        "",
        None,
        30,
        3,
    )


def test_a_step_without_a_timeout_has_the_pipelines_up_to_the_limit(tree: Tree) -> None:
    pipeline = load(tree, "pipeline_id: p\ntimeout_minutes: 1440\nsteps: [{step_id: load_x, ps_type: a.b}]\n")

    assert pipeline.steps[0].timeout_minutes == 120


def test_a_pipeline_cannot_be_changed(tree: Tree, good: str) -> None:
    pipeline = load(tree, good)

    with pytest.raises(FrozenInstanceError):
        pipeline.pipeline_id = "other"  # type: ignore[misc]  # that it is refused is the point


def test_the_version_changes_with_the_text(tree: Tree, good: str) -> None:
    first = load(tree, good).config_version

    assert load(tree, good + "# a comment\n").config_version != first


def test_all_faults_are_told_at_once_with_line_and_key(tree: Tree) -> None:
    text = """\
    pipeline_id: not good
    descripton: x
    schedule: "61 4 * * *"
    timeout_minutes: 1441
    retry_attempts: 11
    steps:
      - step_id: extarct_usage
        ps_type: openai.usage
        timeout_minutes: 121
        depends_on: [load_nothing]
      - step_id: load_b
        on_failure: retry
        note: "{org_slgu}"
      - step_id: load_b
        ps_type: openai.usage
    """

    assert brief(faults(tree, text)) == [
        (1, "pipeline_id", "'not good' cannot name a pipeline"),
        (2, "descripton", "is not known here; did you mean description?"),
        (3, "schedule", "'61 4 * * *' is not a schedule: bad minute"),
        (4, "timeout_minutes", "is not valid"),
        (5, "retry_attempts", "is not valid"),
        (7, "steps.extarct_usage.step_id", "'extarct_usage' does not start with a verb; did you mean extract?"),
        (9, "steps.extarct_usage.timeout_minutes", "is not valid"),
        (10, "steps.extarct_usage.depends_on.0", "there is no step 'load_nothing'"),
        (11, "steps.load_b.ps_type", "is missing"),
        (12, "steps.load_b.on_failure", "is not valid"),
        (13, "steps.load_b.note", "{org_slgu} is not a template; did you mean org_slug?"),
        (14, "steps.load_b.step_id", "'load_b' is also step 2"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("timeout_minutes: 0", "1 or more"),
        ("timeout_minutes: 1441", "1440 or less"),
        ('timeout_minutes: "30"', "a whole number"),
        ("timeout_minutes: 1.5", "a whole number"),
        ("timeout_minutes: true", "a whole number"),
        ("retry_attempts: -1", "0 or more"),
        ("retry_attempts: 11", "10 or less"),
        ("description: 5", "text (put it in quotes)"),
        ("schedule: daily", "five cron fields, in UTC"),
        ('schedule: "0 4 * * * *"', "five cron fields, in UTC"),
        ('schedule: "0 0 30 2 *"', "five cron fields, in UTC"),
        ("schedule: ''", "five cron fields, in UTC"),
        ("parameters: []", "a mapping"),
        ("parameters: {a-b: 1}", "letters, digits and _, not starting with a digit"),
    ],
)
def test_a_bad_value_says_what_was_expected(tree: Tree, text: str, expected: str) -> None:
    found = faults(tree, f"pipeline_id: p\nsteps: [{{step_id: load_x, ps_type: a.b}}]\n{text}\n")

    assert [(fault.line, fault.expected) for fault in found] == [(3, expected)]


@pytest.mark.parametrize(
    "text", ["timeout_minutes: 1", "timeout_minutes: 1440", "retry_attempts: 0", "retry_attempts: 10"]
)
def test_the_ends_of_the_ranges_are_taken(tree: Tree, text: str) -> None:
    steps = "steps: [{step_id: load_x, ps_type: a.b}]"

    assert load(tree, f"pipeline_id: p\n{steps}\n{text}\n").pipeline_id == "p"


@pytest.mark.parametrize("text", ["", "- a\n", "just text\n", "5\n"])
def test_what_is_not_a_mapping_is_not_a_pipeline(tree: Tree, text: str) -> None:
    assert brief(faults(tree, text)) == [(1, None, "is not a pipeline")]


def test_a_pipeline_has_an_id_and_steps(tree: Tree) -> None:
    assert brief(faults(tree, "description: x\n")) == [(1, "pipeline_id", "is missing"), (1, "steps", "is missing")]


def test_a_pipeline_without_steps_is_refused(tree: Tree) -> None:
    found = faults(tree, "pipeline_id: p\nsteps: []\n")

    assert [(fault.line, fault.key, fault.expected) for fault in found] == [(2, "steps", "at least 1")]


@pytest.mark.parametrize("step_id", ["usage", "extract", "extract_", "Extract_usage", "extract-usage", "fetch_usage"])
def test_a_step_id_is_a_verb_and_a_target(tree: Tree, step_id: str) -> None:
    found = faults(tree, f"pipeline_id: p\nsteps: [{{step_id: {step_id}, ps_type: a.b}}]\n")

    assert [(fault.key, fault.expected) for fault in found] == [
        (f"steps.{step_id}.step_id", "{extract|transform|load|validate|notify|decrypt|setup}_target")
    ]


@pytest.mark.parametrize("verb", ["extract", "transform", "load", "validate", "notify", "decrypt", "setup"])
def test_every_verb_is_taken(tree: Tree, verb: str) -> None:
    pipeline = load(tree, f"pipeline_id: p\nsteps: [{{step_id: {verb}_x, ps_type: a.b}}]\n")

    assert pipeline.steps[0].step_id == f"{verb}_x"


def test_a_circle_is_named(tree: Tree) -> None:
    text = """\
    pipeline_id: p
    steps:
      - {step_id: load_start, ps_type: a.b}
      - {step_id: load_a, ps_type: a.b, depends_on: [load_c, load_start]}
      - {step_id: load_b, ps_type: a.b, depends_on: [load_a]}
      - {step_id: load_c, ps_type: a.b, depends_on: [load_b]}
    """
    (found,) = faults(tree, text)
    names = found.message.removeprefix("goes in a circle: ").split(" -> ")
    edges = {("load_a", "load_c"), ("load_b", "load_a"), ("load_c", "load_b")}

    assert set(pairwise(names)) == edges
    assert names[0] == names[-1]


def test_a_step_that_waits_for_itself_is_a_circle(tree: Tree) -> None:
    text = "pipeline_id: p\nsteps:\n  - {step_id: load_a, ps_type: a.b, depends_on: [load_a]}\n"

    assert brief(faults(tree, text)) == [
        (3, "steps.load_a.depends_on", "goes in a circle: load_a -> load_a"),
    ]


def writing(*steps: str) -> str:
    lines = "".join(f"  - {{step_id: load_{n}, ps_type: a.b, {keys}}}\n" for n, keys in enumerate(steps))
    return f"pipeline_id: p\nsteps:\n{lines}"


@pytest.mark.parametrize("second", ["table: spend", "table: spend, write_mode: overwrite"])
def test_two_steps_do_not_replace_each_others_rows(tree: Tree, second: str) -> None:
    assert brief(faults(tree, writing("table: spend, write_mode: append", second))) == [
        (
            4,
            "steps.load_1.table",
            "spend is also written by load_0, and one would replace what the other wrote",
        )
    ]


@pytest.mark.parametrize(
    "steps",
    [
        ("table: spend", "table: other"),
        ("table: spend, write_mode: append", "table: spend, write_mode: merge"),
        ("table: spend, part: account", "table: spend, part: account"),
    ],
)
def test_steps_that_add_or_own_a_part_may_share_a_table(tree: Tree, steps: tuple[str, ...]) -> None:
    assert load(tree, writing(*steps)).steps


def test_a_step_may_not_outlast_its_pipeline(tree: Tree) -> None:
    text = "pipeline_id: p\ntimeout_minutes: 5\nsteps:\n  - {step_id: load_a, ps_type: a.b, timeout_minutes: 6}\n"

    assert brief(faults(tree, text)) == [(4, "steps.load_a.timeout_minutes", "is longer than the pipeline's")]


def test_templates_name_the_runs_values_and_declared_parameters_only(tree: Tree) -> None:
    text = """\
    pipeline_id: p
    parameters: {region: eu, x: "{region}"}
    steps:
      - step_id: load_a
        ps_type: a.b
        good: "{org_slug} {start_date} {end_date} {parameters.region} {{anything}}"
        deep: [{x: "{parameters.regoin}"}]
    """

    assert brief(faults(tree, text)) == [
        (2, "parameters", "{region} is not a template"),
        (7, "steps.load_a.deep", "{parameters.regoin} is not a template; did you mean parameters.region?"),
    ]


def test_no_value_of_a_step_is_in_a_fault(tree: Tree) -> None:
    text = "pipeline_id: p\nsteps: [{step_id: load_a, ps_type: a.b, timeout_minutes: sk-secret-value}]\n"

    assert "sk-secret" not in str(faults(tree, text)[0])
