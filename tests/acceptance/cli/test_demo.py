"""The demo: a newcomer's first minute, and the second one."""

import pytest
from shell import Shell


@pytest.fixture(scope="module")
def shows(tmp_path_factory):
    """What it prints the first time and the second time."""
    shell = Shell(DATA_DIR=str(tmp_path_factory.mktemp("demo")))
    return [shell("demo", "--days", "4", "--rows-per-day", "10") for _ in range(2)]


def test_it_ends_well_both_times(shows):
    assert [done.returncode for done in shows] == [0, 0], shows[0].stderr + shows[1].stderr


def test_its_total_is_the_providers_own_to_the_last_digit(shows):
    for done in shows:
        figures = [line.split("(")[1] for line in done.stdout.splitlines() if " says " in line or " say " in line]
        assert len(figures) == 2
        assert figures[0] == figures[1]


def test_it_shows_cost_by_provider_model_team_and_day_and_what_to_type_next(shows):
    for text in ("Cost by provider", "Cost by model", "Cost by team", "Cost by day", "convergence query demo"):
        assert text in shows[0].stdout


def test_every_provider_has_a_line(shows):
    table = shows[0].stdout.split("Cost by provider")[1].split("Cost by model")[0]
    for provider in ("openai", "anthropic", "cursor", "deepseek", "gcp"):
        assert provider in table


def test_the_second_time_finds_what_the_first_one_made(shows):
    assert "was there" in shows[1].stdout
    assert "was there" not in shows[0].stdout


def test_it_shows_no_secret(shows):
    assert all("sk-a" not in done.stdout + done.stderr for done in shows)
