from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from convergence.catalog import Catalog
from convergence.errors import ConfigError, Conflict, NotFound

Tree = Callable[[Mapping[str, str]], Path]
SCHEMA = '[{"name": "a", "type": "STRING"}]'


def pipeline(pipeline_id: str, **keys: str) -> str:
    more = "".join(f"\n    {key}: {value}" for key, value in keys.items())
    return f"pipeline_id: {pipeline_id}\nsteps:\n  - step_id: load_x\n    ps_type: a.b{more}\n"


def accept(ps_type: str, config: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
    del ps_type, config
    return []


def test_pipelines_are_found_at_two_depths_and_not_in_data_folders(tree: Tree) -> None:
    root = tree(
        {
            "openai/usage_cost.yml": pipeline("openai-usage-cost"),
            "gcp/cost/cost_billing.yml": pipeline("gcp-cost"),
            "gcp/checks/billing.yml": "anything: at all\n",
            "gcp/cost/sql/x.yml": "- 1\n",
            ".git/x.yml": pipeline("hidden"),
        }
    )

    found = [(one.location, one.provider, one.domain, one.pipeline_id) for one in Catalog(root).pipelines()]

    assert found == [
        ("gcp/cost/cost_billing", "gcp", "cost", "gcp-cost"),
        ("openai/usage_cost", "openai", "usage_cost", "openai-usage-cost"),
    ]


def test_a_pipeline_called_like_its_domain_keeps_its_place(tree: Tree) -> None:
    root = tree({"gcp/cost/cost.yml": pipeline("gcp-cost")})

    assert [one.location for one in Catalog(root).pipelines()] == ["gcp/cost/cost"]


def test_one_is_found_by_id_or_by_stem(tree: Tree) -> None:
    catalog = Catalog(tree({"openai/usage_cost.yml": pipeline("openai-usage-cost")}))

    assert catalog.find("openai-usage-cost") == catalog.find("usage_cost")


def test_an_id_comes_before_a_stem(tree: Tree) -> None:
    catalog = Catalog(tree({"a/x.yml": pipeline("y"), "b/y.yml": pipeline("z")}))

    assert catalog.find("y").provider == "a"


def test_a_stem_of_several_is_a_conflict_with_the_candidates(tree: Tree) -> None:
    catalog = Catalog(
        tree({"openai/usage_cost.yml": pipeline("a"), "cursor/usage_cost.yml": pipeline("b"), "z/z.yml": pipeline("c")})
    )

    with pytest.raises(Conflict) as caught:
        catalog.find("usage_cost")

    assert caught.value.fields["candidates"] == ["cursor/usage_cost", "openai/usage_cost"]


def test_an_unknown_name_gets_near_ones(tree: Tree) -> None:
    catalog = Catalog(tree({"openai/usage_cost.yml": pipeline("openai-usage-cost")}))

    with pytest.raises(NotFound, match="did you mean openai-usage-cost"):
        catalog.find("openai-usage-cots")


def test_one_is_found_by_path(tree: Tree) -> None:
    catalog = Catalog(tree({"gcp/billing.yml": pipeline("a"), "gcp/cost/cost_billing.yml": pipeline("b")}))

    found = catalog.find_by_path("gcp", "billing"), catalog.find_by_path("gcp", "cost", "cost_billing")

    assert [one.pipeline_id for one in found] == ["a", "b"]


@pytest.mark.parametrize(
    "place",
    [
        ("gcp", "cost"),
        ("gcp", "billing", "billing"),
        ("gcp", "../gcp/billing"),
        ("..", "configs", "gcp/billing"),
        (".", "gcp", "billing"),
        ("gcp", "billing.yml"),
        ("gcp", "billing\0"),
        ("GCP", "billing"),
        ("", "gcp/billing"),
    ],
)
def test_a_path_is_compared_never_followed(tree: Tree, place: tuple[str, ...]) -> None:
    catalog = Catalog(tree({"gcp/billing.yml": pipeline("a"), "gcp/cost/cost_billing.yml": pipeline("b")}))

    with pytest.raises(NotFound):
        catalog.find_by_path(*place)


def test_one_broken_file_does_not_stop_the_others(tree: Tree) -> None:
    catalog = Catalog(tree({"a/good.yml": pipeline("good"), "a/bad.yml": "pipeline_id: bad\n"}))

    assert [one.pipeline_id for one in catalog.pipelines()] == ["good"]
    with pytest.raises(ConfigError, match=r"bad\.yml:1: steps: is missing"):
        catalog.find("bad")
    with pytest.raises(ConfigError, match=r"bad\.yml:1: steps: is missing"):
        catalog.find_by_path("a", "bad")


def test_a_changed_file_is_read_again(tree: Tree) -> None:
    root = tree({"a/x.yml": pipeline("first")})
    catalog = Catalog(root)
    catalog.pipelines()

    tree({"a/x.yml": pipeline("the-second")})

    assert [one.pipeline_id for one in catalog.pipelines()] == ["the-second"]


def test_an_unchanged_file_is_not_read_again(tree: Tree) -> None:
    catalog = Catalog(tree({"a/x.yml": pipeline("x"), "a/schemas/t.json": SCHEMA}))

    assert catalog.find("x") is catalog.find("x")
    assert catalog.schema("t") is catalog.schema("t")


def test_schemas_are_found_wherever_they_lie(tree: Tree) -> None:
    catalog = Catalog(tree({"a/schemas/one.json": SCHEMA, "a/b/schemas/two.json": SCHEMA, "a/three.json": SCHEMA}))

    assert catalog.schema_names() == ["one", "two"]
    assert [catalog.schema(name).name for name in ("one", "two")] == ["one", "two"]


def test_an_unknown_schema_gets_near_ones(tree: Tree) -> None:
    catalog = Catalog(tree({"a/schemas/usage_daily.json": SCHEMA}))

    with pytest.raises(ConfigError, match="did you mean usage_daily"):
        catalog.schema("usage_dialy")


def test_a_schema_that_lies_twice_is_refused(tree: Tree) -> None:
    catalog = Catalog(tree({"a/schemas/t.json": SCHEMA, "b/schemas/t.json": SCHEMA}))

    with pytest.raises(ConfigError, match="table schema 't' is also in"):
        catalog.schema("t")


def test_a_schema_that_moves_is_found_again(tree: Tree) -> None:
    root = tree({"a/schemas/t.json": SCHEMA})
    catalog = Catalog(root)
    catalog.schema("t")

    (root / "b" / "schemas").mkdir(parents=True)
    (root / "a/schemas/t.json").rename(root / "b/schemas/t.json")

    assert catalog.schema("t").name == "t"


def test_text_and_seeds_are_read_below_the_root(tree: Tree) -> None:
    root = tree({"a/sql/x.sql": "SELECT 1", "a/seeds/p.csv": "x,y\n"})
    catalog = Catalog(root)

    assert catalog.text(root / "a", "sql/x.sql") == "SELECT 1"
    assert catalog.seed("a/seeds/p.csv") == "x,y\n"
    assert catalog.path(root / "a", "./sql/x.sql") == (root / "a/sql/x.sql").resolve()


@pytest.mark.parametrize(
    "path",
    [
        "../b/secret.sql",
        "sql/../../b/secret.sql",
        "/etc/passwd",
        "~/x",
        "..\\b\\secret.sql",
        "sql/x.sql\0",
        "",
        ".",
        "sql",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(tree: Tree, path: str) -> None:
    root = tree({"a/sql/x.sql": "SELECT 1", "b/secret.sql": "SELECT 2"})

    with pytest.raises(ConfigError):
        Catalog(root).path(root / "a", path)


def test_a_missing_file_gets_near_ones(tree: Tree) -> None:
    root = tree({"a/sql/usage.sql": "SELECT 1"})

    with pytest.raises(ConfigError, match=r"there is no such file; did you mean sql/usage\.sql"):
        Catalog(root).path(root / "a", "sql/usgae.sql")


def test_a_folder_outside_the_root_is_refused(tree: Tree, tmp_path: Path) -> None:
    root = tree({"a/x.sql": "SELECT 1"})
    evil = tmp_path / "configs-evil"
    evil.mkdir()
    (evil / "x.sql").write_text("SELECT 2")

    with pytest.raises(ConfigError, match="outside the configs folder"):
        Catalog(root).path(evil, "x.sql")


def test_links_that_lead_outside_are_not_followed(tree: Tree, tmp_path: Path) -> None:
    root = tree({"a/x.sql": "SELECT 1"})
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "p.yml").write_text(pipeline("outside"))
    (root / "a" / "link.yml").symlink_to(tmp_path / "outside" / "p.yml")
    (root / "b").symlink_to(tmp_path / "outside")
    catalog = Catalog(root)

    assert catalog.pipelines() == []
    with pytest.raises(ConfigError, match="outside the configs folder"):
        catalog.path(root / "a", "link.yml")


def test_links_within_the_root_are_followed_as_a_mounted_volume_needs(tree: Tree) -> None:
    root = tree({"..2026_01/openai.yml": pipeline("a"), "openai/keep.txt": ""})
    (root / "..data").symlink_to("..2026_01")
    (root / "openai" / "usage.yml").symlink_to("../..data/openai.yml")

    assert [one.location for one in Catalog(root).pipelines()] == ["openai/usage"]


def test_a_circle_of_links_ends(tree: Tree) -> None:
    root = tree({"a/x.yml": pipeline("x")})
    (root / "a" / "again").symlink_to(root / "a")

    assert len(list(Catalog(root).pipelines())) == 2  # a/x.yml, and a/again/x.yml, which looks like a domain


def test_a_root_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        Catalog(tmp_path / "none")


def test_faults_are_those_of_every_file(tree: Tree) -> None:
    root = tree(
        {
            "a/x.yml": pipeline("one", sql_file="sql/missing.sql", sql="SELEC 1", seed="../p.csv"),
            "a/y.yml": pipeline("other", check='"{no}"'),
            "b/c/d/e.yml": pipeline("deep"),
            "b/c.yaml": pipeline("suffix"),
            "top.yml": pipeline("top"),
            "a/schemas/t.json": "[]",
            "b/schemas/t.json": SCHEMA,
            "a/sql/v.sql": "SELECT {org_slug}\nFROM WHERE",
            "a/sql/w.sql": "-- nothing",
        }
    )

    found = [(fault.path, fault.line, fault.key, fault.message) for fault in Catalog(root).faults(accept)]

    def at(name: str) -> str:
        return str(root.resolve() / name)

    assert found == [
        (at("a/schemas/t.json"), 1, None, "has no fields"),
        (at("a/sql/v.sql"), 2, None, "is not GoogleSQL: Expected table name"),
        (at("a/sql/w.sql"), 1, None, "is not GoogleSQL: there is no statement"),
        (
            at("a/x.yml"),
            5,
            "steps.load_x.sql_file",
            "'sql/missing.sql': there is no such file; did you mean sql/w.sql or sql/v.sql?",
        ),
        (
            at("a/x.yml"),
            6,
            "steps.load_x.sql",
            "is not GoogleSQL, line 1 of the statement: Invalid expression / Unexpected token",
        ),
        (at("a/x.yml"), 7, "steps.load_x.seed", "'../p.csv': leads outside its folder"),
        (at("a/y.yml"), 5, "steps.load_x.check", "{no} is not a template"),
        (at("b/c.yaml"), None, None, "a pipeline is not looked for here"),
        (at("b/c/d/e.yml"), None, None, "a pipeline is not looked for here"),
        (at("b/schemas/t.json"), None, None, f"table schema 't' is also in {at('a/schemas/t.json')}"),
        (at("top.yml"), None, None, "a pipeline is not looked for here"),
    ]


def test_a_pipeline_id_of_two_files_is_a_fault(tree: Tree) -> None:
    root = tree({"a/x.yml": pipeline("same"), "b/y.yml": pipeline("same")})

    found = [str(fault) for fault in Catalog(root).faults(accept)]

    assert found == [f"{root}/b/y.yml: pipeline_id 'same' is also in {root}/a/x.yml (expected one of each)"]


def test_what_a_processor_refuses_is_at_the_line_of_its_key(tree: Tree) -> None:
    root = tree({"a/x.yml": pipeline("x", source="{url: u, pages: [1, 2]}")})

    def refuse(ps_type: str, config: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
        return [("source.pages.1", f"{ps_type} does not take {config['source']['pages'][1]}", "1")]

    assert [str(fault) for fault in Catalog(root).faults(refuse)] == [
        f"{root}/a/x.yml:5: steps.load_x.source.pages.1: a.b does not take 2 (expected 1)"
    ]


def test_the_steps_of_a_broken_file_are_checked_too(tree: Tree) -> None:
    root = tree({"a/x.yml": "pipeline_id: 5\n" + pipeline("x").split("\n", 1)[1]})

    found = Catalog(root).faults(lambda _ps_type, _config: [("ps_type", "there is no such processor", None)])

    assert [fault.key for fault in found] == ["pipeline_id", "steps.load_x.ps_type"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_cannot_be_read_is_a_fault(tree: Tree) -> None:
    root = tree({"a/x.yml": pipeline("x")})
    (root / "a/x.yml").chmod(0)

    assert [fault.message for fault in Catalog(root).faults(accept)] == ["cannot be read: Permission denied"]
