from __future__ import annotations

import re
import string

import pytest

from convergence.errors import ConfigError, InvalidRequest
from convergence.security import ApiKeys

PEPPER = bytes(range(32))
SLUGS = ("acme", "Acme_2", "a_api_b", "_api_", "x" * 50, "api_api_api")


@pytest.fixture
def keys() -> ApiKeys:
    return ApiKeys(PEPPER)


@pytest.mark.parametrize("slug", SLUGS)
def test_a_minted_key_reads_back(keys, slug):
    new = keys.mint(slug)

    parsed = keys.parse(new.api_key)

    assert (parsed.org_slug, parsed.key_id) == (slug, new.key_id)
    assert re.fullmatch(rf"{slug}_api_[0-9A-Za-z]{{61}}", new.api_key)
    assert new.fingerprint == f"{slug}_api_{new.key_id}…"
    assert parsed.fingerprint == new.fingerprint


def test_the_text_and_the_digest_stay_out_of_repr(keys):
    new = keys.mint("acme")

    assert new.api_key not in repr(new)
    assert new.digest not in repr(new)
    assert new.api_key[-49:-6] not in new.fingerprint
    assert PEPPER.hex() not in repr(keys)


def test_no_two_keys_are_alike(keys):
    made = [keys.mint("acme") for _ in range(200)]

    assert len({new.key_id for new in made}) == 200
    assert len({new.api_key for new in made}) == 200


def test_every_single_character_typo_is_refused(keys):
    api_key = keys.mint("acme").api_key

    for place, character in enumerate(api_key):
        wrong = "A" if character != "A" else "B"
        assert keys.parse(api_key[:place] + wrong + api_key[place + 1 :]) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "acme",
        "acme_api_",
        "acme_api_" + "0" * 61,
        "a" * 1_000_000,
        "ac-me_api_" + "0" * 61,
        "\u0430cme_api_" + "0" * 61,
        "\udcff" * 70,
        "\x00" * 70,
    ],
)
def test_what_is_no_key_is_refused(keys, text):
    assert keys.parse(text) is None
    assert keys.matches(text, keys.mint("acme").digest) is False


@pytest.mark.parametrize("change", ["{} ", " {}", "{}\n", "{}0", "\t{}"])
def test_nothing_may_surround_a_key(keys, change):
    assert keys.parse(change.format(keys.mint("acme").api_key)) is None


@pytest.mark.parametrize("slug", ["", "ab", "a-b", "a b", "é" * 5, "x" * 51, "acme\n"])
def test_a_slug_that_cannot_be_in_a_key_is_refused(keys, slug):
    with pytest.raises(InvalidRequest, match="cannot be part of an API key"):
        keys.mint(slug)


def test_only_its_own_digest_matches(keys):
    first, second = keys.mint("acme"), keys.mint("acme")

    assert keys.matches(first.api_key, first.digest) is True
    assert keys.matches(first.api_key, second.digest) is False
    assert keys.matches(first.api_key, "") is False
    assert keys.matches(first.api_key, "\udcff not hex") is False


def test_the_digest_depends_on_the_pepper_and_is_not_the_plain_hash(keys):
    new = keys.mint("acme")

    assert ApiKeys(bytes(32)).matches(new.api_key, new.digest) is False
    assert set(new.digest) <= set(string.hexdigits)
    assert len(new.digest) == 64


def test_a_key_of_one_organization_cannot_be_relabelled(keys):
    new = keys.mint("acme")
    relabelled = "evil" + new.api_key[4:]

    assert keys.parse(relabelled) is None
    assert keys.matches(relabelled, new.digest) is False


def test_a_short_pepper_is_refused():
    with pytest.raises(ConfigError, match="fewer than 32 bytes"):
        ApiKeys(b"short")
