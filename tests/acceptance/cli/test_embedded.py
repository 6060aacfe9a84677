"""Without a server: the commands open the data folder themselves."""

import csv
import subprocess
import sys
from decimal import Decimal

import pytest

DAYS = ("--from", "2026-11-01", "--to", "2026-11-05")


def test_costs_equal_the_providers_own_figure(loaded, truth):
    report = loaded.json("costs", "acme", *DAYS, "--group-by", "provider")
    assert Decimal(report["total"]["billed_cost"]) == truth["cost"]["total"]
    assert [row["provider"] for row in report["rows"]] == ["openai"]


def test_costs_by_day_are_the_providers_days(loaded, truth):
    report = loaded.json("costs", "acme", *DAYS, "--group-by", "provider", "--granularity", "day")
    billed = {row["day"]: Decimal(row["billed_cost"]) for row in report["rows"]}
    assert billed == {day: amount for day, amount in truth["cost"]["by_day"].items() if amount}


def test_the_table_shows_the_total_in_cents(loaded, truth):
    done = loaded("costs", "acme", *DAYS, "--group-by", "model")
    assert f"${truth['cost']['total']:,.2f}" in done.stdout.splitlines()[-2]


def test_reconcile_compares_the_providers_days(loaded, truth):
    found = loaded.json("reconcile", "acme", *DAYS, "--daily", "--tolerance", "1")
    reported = {row["period"]: Decimal(row["provider_reported"]) for row in found["rows"]}
    assert reported == {day: amount for day, amount in truth["cost"]["by_day"].items() if amount}


def test_reconcile_ends_with_1_where_an_invoice_diverges(loaded, tmp_path, truth):
    invoice = tmp_path / "invoice.csv"
    head = "InvoiceId,BillingPeriodStart,BillingPeriodEnd,BilledCost,BillingCurrency"
    invoice.write_text(f"{head}\nINV-1,2026-11-01,2026-12-01,{truth['cost']['total'] + 5},USD\n")
    assert loaded("files", "load", "acme", "openai", str(invoice), "--kind", "invoice").returncode == 0
    done = loaded("reconcile", "acme", "--month", "2026-11", "--provider", "openai")
    assert (done.returncode, "unknown 5.00" in done.stdout) == (1, True), done.stdout + done.stderr


def test_a_focus_file_of_days_that_are_loaded_is_refused_and_one_of_another_cloud_is_taken_back(loaded, tmp_path):
    export = tmp_path / "focus.csv"
    assert loaded("export", "focus", "acme", *DAYS, "-o", str(export)).returncode == 0
    twice = loaded("files", "load", "acme", "openai", str(export), "--kind", "focus")
    assert (twice.returncode, "of the file already" in twice.stderr) == (1, True), twice.stderr
    assert loaded("files", "load", "acme", "resold", str(export), "--kind", "focus").returncode == 0
    assert {row["provider"] for row in _by_provider(loaded)} == {"openai", "resold"}
    assert loaded("files", "remove", "acme", "resold", str(export)).returncode == 0
    assert {row["provider"] for row in _by_provider(loaded)} == {"openai"}


def _by_provider(loaded):
    sql = "SELECT DISTINCT x_Provider AS provider FROM focus_cost_daily"
    return loaded.json("query", "acme", sql)["rows"]


def test_query_reads_what_was_loaded(loaded, truth):
    sql = "SELECT SUM(input_tokens) AS n FROM openai_usage_daily_raw WHERE endpoint = @endpoint"
    result = loaded.json("query", "acme", sql, "--param", "endpoint=completions")
    assert result["rows"] == [{"n": truth["usage"]["completions"]["input_tokens"]}]


@pytest.mark.parametrize("suffix", [".csv", ".arrow", ".parquet"])
def test_query_writes_files(loaded, tmp_path, suffix):
    target = tmp_path / f"costs{suffix}"
    done = loaded("query", "acme", "SELECT usage_date, billed_cost FROM openai_cost_daily", "-o", str(target))
    assert done.returncode == 0, done.stderr
    assert target.stat().st_size > 100


def test_an_export_has_the_providers_own_figure(loaded, truth, tmp_path):
    path = tmp_path / "focus.csv"
    assert loaded("export", "focus", "acme", "-o", str(path), *DAYS, "--version", "1.2").returncode == 0
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (sum(Decimal(row["BilledCost"]) for row in rows), len(rows[0])) == (truth["cost"]["total"], 57)


def test_an_export_that_is_refused_leaves_the_old_file(loaded, tmp_path):
    path = tmp_path / "focus.csv"
    path.write_text("old")
    done = loaded("export", "focus", "acme", "-o", str(path), "--version", "9.9")
    assert (done.returncode, path.read_text(), list(tmp_path.iterdir())) == (2, "old", [path])


def test_runs_are_listed_and_shown(loaded):
    items = loaded.json("runs", "list", "acme", "--pipeline", "openai-usage-cost")["items"]
    assert [item["status"] for item in items] == ["COMPLETED"]
    shown = loaded.json("runs", "show", "acme", items[0]["pipeline_logging_id"])
    assert {step["status"] for step in shown["steps"]} == {"COMPLETED"}
    assert shown["trigger_type"] == "cli"


def test_gaps_name_the_days_that_were_never_loaded(loaded):
    found = loaded.json("gaps", "acme", "--from", "2026-10-31", "--to", "2026-11-06")
    usage = next(item for item in found["items"] if item["stream"] == "openai.usage")
    assert usage["missing"] == ["2026-10-31", "2026-11-06"]


def test_integrations_show_no_credential(loaded):
    done = loaded("integration", "list", "acme", "--json")
    assert '"VALID"' in done.stdout
    assert "sk-admin-cli" not in done.stdout + done.stderr


def test_org_show_tells_what_is_used(loaded):
    ran = [run["pipeline_id"] for run in loaded.json("runs", "list", "acme")["items"]]
    counted = [name for name in ran if not name.startswith("integration-")]  # setting up is free
    assert "openai-usage-cost" in counted
    assert loaded.json("org", "show", "acme")["usage"]["pipelines_today"] == len(counted)


def test_keys_are_made_listed_and_revoked(loaded):
    made = loaded.json("org", "keys", "create", "acme", "--name", "bi", "--scope", "costs:read")
    assert made["api_key"].startswith("acme_api_")
    assert loaded("org", "keys", "revoke", "acme", made["api_key_id"]).returncode == 0
    listed = loaded.json("org", "keys", "list", "acme")["items"]
    assert next(item for item in listed if item["api_key_id"] == made["api_key_id"])["revoked_at"] is not None
    assert made["api_key"] not in str(listed)


def test_a_second_organization_of_the_same_name_is_refused(loaded):
    done = loaded("org", "onboard", "ACME", "--company", "A", "--email", "a@example.com")
    assert done.returncode == 2
    assert "error:" in done.stderr


def test_dryrun_creates_nothing_and_says_why_not(loaded):
    assert loaded("org", "dryrun", "globex", "--company", "G", "--email", "g@example.com").returncode == 0
    assert loaded("org", "show", "globex").returncode == 2
    refused = loaded("org", "dryrun", "a-b", "--company", "G", "--email", "g@example.com")
    assert refused.returncode == 1
    assert "hyphen" in refused.stdout.lower()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("costs", "nosuch"), "nosuch"),
        (("costs", "acme", "--group-by", "colour"), "colour"),
        (("query", "acme", "DELETE FROM openai_cost_daily"), "SELECT"),
        (("run", "acme", "openai/nothing"), "nothing"),
        (("run", "acme", "openai-usage-cost", "--from", "2026-11-01"), "half a range"),
        (("run", "acme", "openai-usage-cost", "--date", "2999-01-01"), "future"),
        (("runs", "show", "acme", "run_none"), "run_none"),
        (("query", "acme", "SELECT 1", "--param", "broken"), "name=value"),
        (("integration", "setup", "acme", "openai"), "credential"),
    ],
)
def test_bad_input_is_exit_2_and_one_clear_message(loaded, words, said):
    done = loaded(*words, text="")
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_credential_that_the_provider_refuses_is_not_stored(loaded):
    done = loaded("integration", "setup", "acme", "openai", "--credential-file", "-", text="sk-proj-wrongwrongwrong\n")
    assert done.returncode == 2
    assert "sk-proj-wrong" not in done.stderr
    assert loaded.json("integration", "list", "acme")["integrations"]["OPENAI"]["status"] == "VALID"


def test_two_processes_do_not_share_a_data_folder(loaded):
    holder = subprocess.Popen([sys.executable, "-c", HOLD], env=loaded.environment, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline().strip() == "open"
        done = loaded("costs", "acme")
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    assert done.returncode == 1
    assert "--server" in done.stderr
    assert str(holder.pid) in done.stderr


HOLD = """
import asyncio
from convergence.bootstrap import open_platform
from convergence.settings import load_settings

async def main():
    async with open_platform(load_settings()):
        print("open", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_bad_settings_are_exit_2_with_every_fault(shell):
    done = shell("costs", "acme", API_PORT="many", ENVIRONMENT="moon")
    assert done.returncode == 2
    assert "API_PORT" in done.stderr
    assert "ENVIRONMENT" in done.stderr


def test_production_refuses_to_serve_and_names_every_fault(shell):
    done = shell("serve", ENVIRONMENT="production", CORS_ORIGINS='["*"]', CA_ROOT_API_KEY="short")
    assert done.returncode == 2
    for name in ("CA_ROOT_API_KEY", "KMS_BACKEND", "CORS_ORIGINS"):
        assert name in done.stderr


def test_doctor_and_validate_find_nothing_wrong(loaded):
    assert loaded("doctor").returncode == 0
    assert loaded("validate").returncode == 0


def test_validate_lists_all_faults_of_a_folder(shell, tmp_path):
    (tmp_path / "openai").mkdir()
    (tmp_path / "openai" / "broken.yml").write_text(
        "pipeline_id: broken\nshcedule: daily\nsteps:\n  - {step_id: extract_a, ps_type: openai.usge}\n"
    )
    done = shell("validate", str(tmp_path))
    assert done.returncode == 2
    assert "shcedule" in done.stderr
    assert "openai.usage" in done.stderr


def test_help_imports_nothing_heavy(shell):
    heavy = {"duckdb", "fastapi", "httpx2", "pyarrow", "pydantic", "rich"}
    code = f"import sys, convergence.cli.app; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=shell.environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_price_is_set_and_applied_to_past_days(loaded):
    made = loaded.json("prices", "set", "acme", "openai", "gpt-5-mini", "output_per_million=200")
    rehearsed = loaded("rerate", "acme", *DAYS, "--dry-run")
    done = loaded("rerate", "acme", *DAYS, "--provider", "openai")

    assert (made["source"], made["output_per_million"]) == ("organization", "200")
    assert "gpt-5-mini" in done.stdout
    assert (done.returncode, done.stdout) == (0, rehearsed.stdout)


def test_a_mapping_is_previewed_loaded_and_shown(loaded, tmp_path, truth):
    people = loaded.json("costs", "acme", *DAYS, "--group-by", "person")["rows"]
    person = next(row["person"] for row in people if row["person"])
    file = tmp_path / "people.csv"
    file.write_text(f"person,team,cost centre\n{person},Search,4711\nsomebody,Search,\n")
    preview = loaded("identity", "preview", "acme", str(file), *DAYS)
    assert (preview.returncode, f"{person} / Search / 4711" in preview.stdout) == (0, True), preview.stderr
    assert "line 3: person 'somebody' is not an e-mail address" in preview.stdout
    loading = loaded("identity", "load", "acme", str(file))
    assert loading.returncode == 0, loading.stdout + loading.stderr
    assert "4711" in loaded("identity", "show", "acme").stdout
    open_cost = loaded.json("identity", "unmapped", "acme", *DAYS)["totals"][0]
    assert (
        Decimal(0) < Decimal(open_cost["unmapped_cost"]) < Decimal(open_cost["billed_cost"]) == truth["cost"]["total"]
    )
