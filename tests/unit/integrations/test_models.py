import pytest

from convergence.errors import NotFound, UnsupportedError
from convergence.integrations import PROVIDERS, Provider, find_provider
from convergence.integrations.validators import load_validator


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("openai", "OPENAI"),
        ("OPENAI", "OPENAI"),
        ("anthropic", "ANTHROPIC"),
        ("claude", "ANTHROPIC"),
        ("deepseek", "DEEPSEEK"),
        ("cursor", "CURSOR"),
        ("gcp", "GCP_SA"),
        ("gcp_sa", "GCP_SA"),
        ("google_sheets", "GOOGLE_SHEETS"),
    ],
)
def test_a_provider_answers_to_its_names(text: str, name: str) -> None:
    assert find_provider(text).name == name


def test_every_documented_provider_is_there() -> None:
    names = [provider.name for provider in PROVIDERS]
    assert names == ["OPENAI", "ANTHROPIC", "DEEPSEEK", "CURSOR", "GCP_SA", "GOOGLE_SHEETS"]


def test_a_near_name_is_suggested() -> None:
    with pytest.raises(NotFound) as caught:
        find_provider("opnai")
    assert caught.value.hint == "Did you mean openai?"


def test_a_provider_without_a_validator_cannot_be_set_up() -> None:
    with pytest.raises(UnsupportedError, match="LATER cannot be set up"):
        load_validator(Provider("LATER", "later"))
