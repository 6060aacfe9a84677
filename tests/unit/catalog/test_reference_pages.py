from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from convergence.catalog.pipelines import load_pipeline
from convergence.catalog.tables import parse_table_schema
from convergence.catalog.tree import DATA_FOLDERS, Place
from convergence.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[3]
SCRIPT = REPOSITORY / "scripts" / "validate_configs.py"
Tree = Callable[[Mapping[str, str]], Path]


def read(page: str) -> str:
    return (REPOSITORY / "docs" / "reference" / page).read_text(encoding="utf-8")


def example(page: str, language: str) -> str:
    return read(page).split(f"```{language}\n")[1].split("```")[0]


def run_script(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, root], check=False, capture_output=True, text=True)


def test_the_page_on_settings_has_every_variable_and_no_other() -> None:
    named = set(re.findall(r"`([A-Z][A-Z0-9_]{5,})`", read("settings.md")))
    levels = {"WARNING", "CRITICAL"}

    assert named - levels == {name.upper() for name in Settings.model_fields} | {"ADMIN_API_KEY"}


def test_the_example_of_a_pipeline_is_one(tmp_path: Path) -> None:
    path = tmp_path / "usage_cost.yml"
    path.write_text(example("pipelines.md", "yaml"))

    assert len(load_pipeline(path, Place("openai", "usage_cost")).steps) == 2


def test_the_example_of_a_schema_is_one() -> None:
    schema = parse_table_schema(example("pipelines.md", "json"), "t.json", "t")

    assert (schema.partition_column, schema.partition_expiration_days) == ("usage_date", 395)


@pytest.mark.parametrize("folder", sorted(DATA_FOLDERS))
def test_the_page_on_pipelines_names_the_data_folders(folder: str) -> None:
    assert f"`{folder}`" in read("pipelines.md")


def test_the_script_answers_for_a_good_folder(tree: Tree) -> None:
    root = tree({"a/schemas/t.json": '[{"name": "a", "type": "STRING"}]'})

    answer = run_script(root)

    assert (answer.returncode, answer.stdout) == (0, f"{root}: 0 pipelines, no faults\n"), answer.stderr


def test_the_script_prints_all_faults(tree: Tree) -> None:
    root = tree({"a/schemas/t.json": "[]", "a/x.yml": "pipeline_id: p\nsteps: [{step_id: load_x, ps_type: no.such}]\n"})

    answer = run_script(root)

    assert (answer.returncode, answer.stdout) == (1, f"{root}: 2 faults\n")
    assert [line.split(" (expected")[0] for line in answer.stderr.splitlines()] == [
        f"{root}/a/schemas/t.json:1: has no fields",
        f"{root}/a/x.yml:2: steps.load_x.ps_type: there is no processor 'no.such'",
    ]


def test_the_script_answers_for_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert run_script(tmp_path / "none").returncode == 1


def test_the_shipped_configs_have_no_faults() -> None:
    answer = run_script(REPOSITORY / "configs")

    assert (answer.returncode, answer.stderr) == (0, "")
