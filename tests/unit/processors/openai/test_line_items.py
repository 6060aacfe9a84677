"""Line items in the wild, and what they bill."""

from __future__ import annotations

import pytest

from convergence.processors.openai._line_items import LineItem, Match, Meter, match_line_items, parse_line_item

INPUTS = ("input", "input_audio", "cached_input", "cached_input_audio", "cache_write")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gpt-4o-mini, input", LineItem("gpt-4o-mini", INPUTS)),
        ("gpt-4o, input_tokens", LineItem("gpt-4o", INPUTS)),
        ("gpt-5-mini, batch cached input", LineItem("gpt-5-mini", ("cached_input", "cached_input_audio"), "batch")),
        ("gpt-5.4, flex output", LineItem("gpt-5.4", ("output", "output_audio"), "flex")),
        ("gpt-5.6-terra, cache write", LineItem("gpt-5.6-terra", ("cache_write",))),
        ("gpt-image-1, 1024x1024 images", LineItem("gpt-image-1", ("images",), "1024x1024")),
        ("gpt-4o, fine-tuning training", LineItem("gpt-4o")),
        ("Web search tool calls", LineItem(None, ("web_search",))),
        ("Text tokens", LineItem(None, ("input", "cached_input", "cache_write", "output"))),
        ("promotional credit", LineItem()),
        ("", LineItem()),
        (None, LineItem()),
    ],
)
def test_parse(text: str | None, expected: LineItem) -> None:
    assert parse_line_item(text) == expected


def test_a_line_for_a_model_bills_its_dated_releases() -> None:
    meters = [Meter("gpt-4o-2024-08-06", "default", "output")]
    assert match_line_items(["gpt-4o, output"], meters) == [Match("gpt-4o, output", 0, 100)]


def test_a_line_for_a_release_bills_no_other() -> None:
    meters = [Meter("gpt-4o-2024-08-06", "default", "output")]
    assert match_line_items(["gpt-4o-2024-05-13, output"], meters) == []


def test_a_line_for_batch_does_not_bill_what_was_not_batched() -> None:
    assert match_line_items(["gpt-5, batch output"], [Meter("gpt-5", "default", "output")]) == []


def test_a_longer_name_is_another_model() -> None:
    assert match_line_items(["gpt-4o, output"], [Meter("gpt-4o-mini", "default", "output")]) == []
