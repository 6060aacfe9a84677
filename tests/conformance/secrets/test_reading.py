from __future__ import annotations

import pytest

from convergence.errors import ConfigError

NAME = "convergence-root-key"


def test_a_secret_is_read_by_its_name(site):
    site.put(NAME, "k" * 40)

    assert site.store.read(NAME).text == "k" * 40


def test_the_line_end_of_an_editor_is_not_part_of_it(site):
    site.put(NAME, "kkkk\r\n")

    assert site.store.read(NAME).text == "kkkk"


def test_what_is_not_there_is_none(site):
    site.put("convergence-root-key-2", "kkkk")

    assert site.store.read(NAME) is None


def test_a_new_text_is_read_from_then_on(site):
    site.put(NAME, "old")
    site.store.read(NAME)

    site.put(NAME, "new")

    assert site.store.read(NAME).text == "new"


def test_the_secret_is_not_in_its_repr_and_its_source_is(site):
    site.put(NAME, "sk-a-secret")
    secret = site.store.read(NAME)

    assert "sk-a-secret" not in repr(secret)
    assert secret.source


@pytest.mark.parametrize(
    "name",
    ["", "..", "../etc/passwd", "/etc/passwd", "a/b", "a\\b", "a\x00b", "a\n", "A", "a_b", "a.b", "-a", "é", "a" * 200],
)
def test_a_name_that_could_mean_something_else_is_refused(site, name):
    with pytest.raises(ConfigError, match="is not the name of a secret"):
        site.store.read(name)
    with pytest.raises(ConfigError, match="is not the name of a secret"):
        site.store.locate(name)


def test_where_a_secret_belongs_is_told(site):
    assert NAME in site.store.locate(NAME).lower().replace("_", "-")
