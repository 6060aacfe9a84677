"""Everything wrong with a declared provider is told at once: file, line, key, what was expected."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from convergence.catalog import Catalog
from convergence.steps.registry import check_step

SCHEMA = """\
{"schema": {"fields": [
  {"name": "usage_date", "type": "DATE", "mode": "REQUIRED"},
  {"name": "cost", "type": "NUMERIC", "mode": "REQUIRED"},
  {"name": "tax", "type": "NUMERIC"},
  {"name": "model", "type": "STRING"},
  {"name": "tags", "type": "STRING", "mode": "REPEATED"},
  {"name": "ingestion_date", "type": "DATE"}
]}, "timePartitioning": {"type": "DAY", "field": "usage_date"}}
"""
PIPELINE = """\
pipeline_id: acme-cost
source:
  base_url: https://user:secret@api.acme.example
  auth:
    type: header
    nme: X-Key
  headers: {Authorization: Bearer x}
  retry_statuses: [401]
  validation:
    path: account
steps:
  - step_id: extract_cost
    ps_type: rest.extract
    request:
      path: /costs
      metod: GET
      params:
        from: "{start_dat}"
        api_key: x
    paginator:
      type: cursor
      cursr: next
    columns:
      usage_date:
        field: day
        format: unix_seconds
      model: {field: model, unit: cents}
      tags: tags
      modle: model
      ingestion_date: now
      tax: tax
    table: acme_cost
    keys: [user]
    amount_column: tax
    max_pages: 0
  - step_id: transform_total
    ps_type: sql.transform
    sql: total.txt
    table: acme_cots
"""
EXPECTED = """\
3: source.base_url: is not a base URL: https://host[:port][/path], without a user name
4: source.auth.name: is missing
6: source.auth.nme: is not known here; did you mean name?
7: source.headers: Authorization: a credential belongs to an integration, never into a file; see auth
8: source.retry_statuses.0: is not a status that may pass: 402 to 599
10: source.validation.path: is not a path below the base URL: it starts with one / and has no ..
14: steps.extract_cost.request: {start_dat} is not a template; did you mean start_date?
16: steps.extract_cost.request.metod: is not known here; did you mean method?
17: steps.extract_cost.request.params: api_key: a credential belongs to an integration, never into a file; see auth
20: steps.extract_cost.paginator.param: is missing
20: steps.extract_cost.paginator.cursor: is missing
22: steps.extract_cost.paginator.cursr: is not known here; did you mean cursor?
23: steps.extract_cost.columns: cost is missing, which acme_cost requires
26: steps.extract_cost.columns.usage_date.format: is not valid
27: steps.extract_cost.columns.model.unit: means nothing for STRING
28: steps.extract_cost.columns.tags: is STRING REPEATED, which cannot be mapped
29: steps.extract_cost.columns.modle: is no column of acme_cost; did you mean model?
30: steps.extract_cost.columns.ingestion_date: is filled by the platform
31: steps.extract_cost.columns.tax: is an amount whose unit is not declared
33: steps.extract_cost.keys.0: 'user' is not mapped
35: steps.extract_cost.max_pages: is not valid
38: steps.transform_total.sql: is not valid
38: steps.transform_total.sql: 'total.txt': there is no such file
39: steps.transform_total.table: there is no table schema 'acme_cots'; did you mean acme_cost?
"""


def faults(root: Path, pipeline: str) -> list[str]:
    (root / "acme" / "schemas").mkdir(parents=True, exist_ok=True)
    (root / "acme" / "schemas" / "acme_cost.json").write_text(SCHEMA)
    path = root / "acme" / "cost.yml"
    path.write_text(pipeline)
    catalog = Catalog(root)
    found = catalog.faults(partial(check_step, find_schema=catalog.schema))
    return [str(fault).removeprefix(f"{path.resolve()}:").split(" (expected")[0] for fault in found]


def test_every_fault_has_its_line_and_key(tmp_path: Path) -> None:
    assert faults(tmp_path, PIPELINE) == EXPECTED.splitlines()


def test_what_contradicts_itself_is_told(tmp_path: Path) -> None:
    text = """\
pipeline_id: acme-cost
source:
  base_url_from: site
  auth: {type: none}
steps:
  - step_id: extract_cost
    ps_type: rest.extract
    request: {path: /costs}
    columns: {usage_date: day, cost: {field: cost, value: 1}}
    table: acme_cost
  - step_id: extract_more
    ps_type: rest.extract
    request: {path: /costs}
    columns: {usage_date: day, cost: cost}
    table: acme_cost
"""
    assert faults(tmp_path, text) == [
        '2: source: hosts says which hosts base_url_from may name, such as "*.example.com"; with it only',
        "9: steps.extract_cost.columns.cost: comes from one of field, bucket_field and value",
        "11: steps.extract_more: replaces days, and its request names none: {start_date} and {end_date}, or the like",
    ]


def test_a_step_that_reads_from_a_source_needs_one(tmp_path: Path) -> None:
    text = PIPELINE[: PIPELINE.index("source:")] + PIPELINE[PIPELINE.index("steps:") :]
    assert "4: steps.extract_cost.ps_type: reads from a source, which the pipeline has not" in faults(tmp_path, text)


def test_a_cost_table_can_be_summed_with_the_others(tmp_path: Path) -> None:
    text = PIPELINE.replace("acme_cots", "acme_cost_daily").replace("total.txt", "total.sql")
    (tmp_path / "acme" / "schemas").mkdir(parents=True)
    schema = SCHEMA.replace('"cost"', '"billed_cost"').replace('"model", "type": "STRING"', '"model", "type": "INT64"')
    (tmp_path / "acme" / "schemas" / "acme_cost_daily.json").write_text(schema)
    (tmp_path / "acme" / "total.sql").write_text("SELECT {start_dat} AS usage_date")
    assert [fault for fault in faults(tmp_path, text) if "transform_total" in fault] == [
        "38: steps.transform_total.sql: total.sql: {start_dat} is not a template; did you mean start_date?",
        "39: steps.transform_total.table: acme_cost_daily is a cost table without currency",
        "39: steps.transform_total.table: acme_cost_daily is a cost table, and its model is INT64",
    ]
