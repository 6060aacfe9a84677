"""What a newcomer relies on: links that lead somewhere, files that name no place of their making."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page):
    dead = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert dead == []


def test_constraints_hold_versions_only():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert len(lines) > 40
    assert [line for line in lines if not re.match(r"[a-z0-9][a-z0-9._-]*(\[[a-z,]+\])?==[0-9]", line)] == []


def test_every_dependency_is_constrained():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    names = {re.match(r"[A-Za-z0-9._-]+", line)[0].lower() for line in wanted}
    constrained = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert names - constrained == {project["name"]}  # the extra of developers takes the others in


def test_every_make_target_of_the_help_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in ("setup", "demo", "serve", "test", "check", "format", "bench"):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_decisions_are_numbered_without_a_gap():
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs" / "decisions").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
