from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from textwrap import dedent

import pytest

from convergence.errors import ConfigError
from convergence.steps.registry import ALIASES, check_step, known_ps_types, load_processor

Package = Callable[[Mapping[str, str]], str]
NUMBERS = count()

PROCESSOR = """\
from pydantic import BaseModel, ConfigDict

class Source(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    url: str
    page_size: int = 100

class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    restatement_days: int = 3
    sources: list[Source] = []

class Engine:
    async def execute(self, step_config, context, /):
        return "done"

def get_engine():
    return Engine()
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """Writes modules of an importable package and returns its name."""
    name = f"processors_of_test_{next(NUMBERS)}"

    def write(modules: Mapping[str, str]) -> str:
        for path, text in {"__init__.py": "", **modules}.items():
            target = tmp_path / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(dedent(text))
        return name

    monkeypatch.syspath_prepend(str(tmp_path))
    yield write
    for module in [one for one in sys.modules if one.split(".")[0] == name]:
        del sys.modules[module]


def test_a_processor_is_found_by_its_path(package: Package) -> None:
    name = package({"openai/__init__.py": "", "openai/usage.py": PROCESSOR})

    loaded = load_processor("openai.usage", package=name)

    assert (loaded.ps_type, loaded.config_model.__name__, type(loaded.engine).__name__) == (
        "openai.usage",
        "Config",
        "Engine",
    )


def test_a_folder_needs_no_init_file(package: Package) -> None:
    name = package({"setup/organizations/onboarding.py": PROCESSOR})

    assert load_processor("setup.organizations.onboarding", package=name).ps_type == "setup.organizations.onboarding"


@pytest.mark.parametrize(("older", "newer"), ALIASES.items())
def test_an_older_name_is_the_newer_processor(package: Package, older: str, newer: str) -> None:
    name = package({f"{newer.replace('.', '/')}.py": PROCESSOR})

    assert load_processor(older, package=name).ps_type == newer
    assert check_step(older, {}, package=name) == []


@pytest.mark.parametrize(
    "ps_type",
    [
        "openai.usge",
        "openai",
        "openai.usage.execute",
        "openai.usage.Config",
        "nothing.here",
        "openai._private",
        "openai..usage",
        ".openai.usage",
        "openai.usage\n",
        "../openai/usage",
        "os.path",
        "Openai.usage",
        "",
    ],
)
def test_an_unknown_name_is_a_config_error(package: Package, ps_type: str) -> None:
    name = package({"openai/usage.py": PROCESSOR, "openai/_private.py": PROCESSOR})

    with pytest.raises(ConfigError) as caught:
        load_processor(ps_type, package=name)

    assert caught.value.faults[0].expected == "one of openai.usage"


def test_an_unknown_name_gets_near_ones(package: Package) -> None:
    name = package({"openai/usage.py": PROCESSOR, "openai/cost.py": PROCESSOR})

    found = check_step("openai.usge", {}, package=name)

    assert found == [
        (
            "ps_type",
            "there is no processor 'openai.usge'; did you mean openai.usage?",
            "one of openai.cost, openai.usage",
        )
    ]


def test_a_missing_library_is_let_through(package: Package) -> None:
    name = package({"a/b.py": "import a_library_that_is_not_installed\n" + PROCESSOR})

    with pytest.raises(ModuleNotFoundError, match="a_library_that_is_not_installed"):
        load_processor("a.b", package=name)


def test_a_broken_package_on_the_way_is_let_through(package: Package) -> None:
    name = package({"a/__init__.py": "import a_library_that_is_not_installed", "a/b.py": PROCESSOR})

    with pytest.raises(ModuleNotFoundError, match="a_library_that_is_not_installed"):
        check_step("a.b", {}, package=name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def get_engine(): ...", "a module with Config"),
        ("Config = 5\ndef get_engine(): ...", "a module with Config"),
        ("from pydantic import BaseModel as Config", "a module with get_engine()"),
    ],
)
def test_a_module_that_is_not_a_processor_is_refused(package: Package, text: str, expected: str) -> None:
    name = package({"a/b.py": text})

    with pytest.raises(ConfigError) as caught:
        load_processor("a.b", package=name)

    assert caught.value.faults[0].expected == expected


def test_known_names_are_listed_without_importing(package: Package) -> None:
    name = package(
        {
            "b/second.py": "raise RuntimeError('imported')\n" + PROCESSOR,
            "a/first.py": PROCESSOR,
            "a/shared.py": "HELP = 1\n",
            "alone.py": PROCESSOR,
        }
    )

    assert known_ps_types(package=name) == ["a.first", "b.second"]


def test_a_good_step_has_no_faults(package: Package) -> None:
    name = package({"a/b.py": PROCESSOR})

    assert check_step("a.b", {"restatement_days": 2, "sources": [{"url": "x"}]}, package=name) == []


def test_every_fault_of_a_step_is_told_with_its_key(package: Package) -> None:
    name = package({"a/b.py": PROCESSOR})
    config = {"restatment_days": 2, "restatement_days": "x", "sources": [{"url": "u"}, {"page_sise": 5}]}

    assert check_step("a.b", config, package=name) == [
        ("restatement_days", "is not valid", "a whole number"),
        ("sources.1.url", "is missing", None),
        ("sources.1.page_sise", "is not known here; did you mean page_size?", "page_size, url"),
        ("restatment_days", "is not known here; did you mean restatement_days?", "restatement_days, sources"),
    ]


def test_no_value_is_in_a_fault(package: Package) -> None:
    name = package({"a/b.py": PROCESSOR})

    found = check_step("a.b", {"restatement_days": "sk-secret"}, package=name)

    assert "sk-secret" not in str(found)
    assert len(found) == 1


def test_the_products_own_processors_are_found() -> None:
    assert "openai.usage" in known_ps_types()
