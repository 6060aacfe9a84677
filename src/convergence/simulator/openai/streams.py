"""The usage endpoints as data: what each one measures, groups by, filters by and is charged for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from convergence.simulator.amounts import pico, pico_a_token
from convergence.simulator.chance import identifier
from convergence.simulator.openai import prices
from convergence.simulator.openai.prices import Charge, Line, Offer, token_charges
from convergence.simulator.traffic import Measures, Noise

BY_KEY = ("project_id", "user_id", "api_key_id")
BY_MODEL = (*BY_KEY, "model")
GIB = 1 << 30
MIB = 1 << 20


class Variant(NamedTuple):
    """One value of the dimensions that do not come from the origin, and what it costs."""

    dimensions: dict[str, str | bool]
    charges: tuple[Charge, ...]
    share: int = 100
    offer: Offer | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """An endpoint. `show` turns the disjoint stored measures into the reported ones."""

    name: str
    object: str
    fields: tuple[str, ...]
    group_by: tuple[str, ...]
    filters: dict[str, str]
    variants: tuple[Variant, ...]
    measure: Callable[[Variant, Noise], Measures]
    show: Callable[[Measures], Sequence[int]] = tuple
    is_level: bool = False
    by_project: bool = False
    flags: tuple[str, ...] = ()


COMPLETION_FIELDS = (
    "input_tokens", "input_cached_tokens", "input_cache_write_tokens", "input_uncached_tokens", "output_tokens",
    "input_text_tokens", "output_text_tokens", "input_cached_text_tokens", "input_audio_tokens",
    "input_cached_audio_tokens", "output_audio_tokens", "input_image_tokens", "input_cached_image_tokens",
    "output_image_tokens", "num_model_requests",
)  # fmt: skip


def _measure_completions(variant: Variant, noise: Noise) -> Measures:
    """Text, audio, image input; the same three cached; cache write; text, audio, image output; requests."""
    offer = variant.offer
    if offer is None:
        raise ValueError("a completions variant has an offer")
    requests = 1 + (noise.a * noise.volume >> 15)
    whole = requests * (200 + noise.b % 1800)
    rate = offer.rate
    cached = whole * (noise.c % 80) // 100 if rate.cached else 0
    fresh = whole - cached
    write = fresh * (noise.d % 40) // 100 if rate.write else 0
    fresh -= write
    audio = fresh * 3 // 5 if rate.audio_input else 0
    cached_audio = cached // 3 if audio else 0
    images = fresh // 4 if offer.sees_images and noise.d & 1 else 0
    cached_images = cached // 5 if images else 0
    output = requests * (20 + noise.e % 400)
    output_audio = output // 2 if audio else 0
    text = fresh - audio - images
    cached_text = cached - cached_audio - cached_images
    return (
        text, audio, images, cached_text, cached_audio, cached_images, write,
        output - output_audio, output_audio, 0, requests,
    )  # fmt: skip


def _show_completions(row: Measures) -> Sequence[int]:
    text, audio, image, cached_text, cached_audio, cached_image, write, out_text, out_audio, out_image, requests = row
    fresh = text + audio + image
    cached = cached_text + cached_audio + cached_image
    return (
        fresh + cached + write, cached, write, fresh, out_text + out_audio + out_image,
        text, out_text, cached_text, audio, cached_audio, out_audio, image, cached_image, out_image, requests,
    )  # fmt: skip


def _requests_and(
    size: Callable[[Noise], int], *, requests_first: bool = False
) -> Callable[[Variant, Noise], Measures]:
    def measure(_variant: Variant, noise: Noise) -> Measures:
        requests = 1 + (noise.a * noise.volume >> 21)
        amount = requests * size(noise)
        return (requests, amount) if requests_first else (amount, requests)

    return measure


def _count(shift: int) -> Callable[[Variant, Noise], Measures]:
    def measure(_variant: Variant, noise: Noise) -> Measures:
        return (1 + (noise.a * noise.volume >> shift),)

    return measure


def _measure_level(_variant: Variant, noise: Noise) -> Measures:
    return ((20 + noise.a % 4000) * MIB,)


def _variants_of_tokens() -> tuple[Variant, ...]:
    return tuple(
        Variant(
            {"model": offer.model, "batch": offer.batch, "service_tier": offer.service_tier},
            tuple(token_charges(offer)),
            offer.share,
            offer,
        )
        for offer in prices.OFFERS
    )


def _priced(text: str, model: str | None, unit: str | None, price: int, per: int = 1) -> tuple[Charge, ...]:
    return (Charge(Line(text, model, unit), price, (0,), per),)


def _model_variant(model: str, item: str, unit: str | None, price: int) -> Variant:
    return Variant({"model": model}, _priced(f"{model}, {item}", model, unit, price))


def _embedding_variants() -> tuple[Variant, ...]:
    return tuple(
        _model_variant(model, "input", "tokens", pico_a_token(price)) for model, price in prices.EMBEDDINGS.items()
    )


def _image_variants() -> tuple[Variant, ...]:
    model = prices.IMAGE_MODEL
    return tuple(
        Variant(
            {"model": model, "size": size, "source": source},
            _priced(f"{model}, {size} images", model, "images", pico(price)),
        )
        for size, price in prices.IMAGE_PRICES.items()
        for source in ("image.generation", "image.edit")
    )


def _search_variants() -> tuple[Variant, ...]:
    charges = _priced("web search tool calls", None, None, pico(prices.WEB_SEARCH_PRICE))
    return tuple(
        Variant({"model": model, "context_level": level}, charges)
        for model in ("gpt-5.4", "gpt-5-mini")
        for level in ("low", "medium", "high")
    )


def _file_search_variants() -> tuple[Variant, ...]:
    charges = _priced("file search tool calls", None, None, pico(prices.FILE_SEARCH_PRICE))
    return tuple(Variant({"vector_store_id": identifier("vs_", index)}, charges) for index in range(3))


_KEY_FILTERS = {"project_ids": "project_id", "user_ids": "user_id", "api_key_ids": "api_key_id"}
_MODEL_FILTERS = {**_KEY_FILTERS, "models": "model"}
_PROJECT_FILTER = {"project_ids": "project_id"}

STREAMS = {
    stream.name: stream
    for stream in (
        Stream(
            "completions",
            "organization.usage.completions.result",
            COMPLETION_FIELDS,
            (*BY_MODEL, "batch", "service_tier"),
            _MODEL_FILTERS,
            _variants_of_tokens(),
            _measure_completions,
            _show_completions,
            flags=("batch",),
        ),
        Stream(
            "embeddings",
            "organization.usage.embeddings.result",
            ("input_tokens", "num_model_requests"),
            BY_MODEL,
            _MODEL_FILTERS,
            _embedding_variants(),
            _requests_and(lambda noise: 100 + noise.b % 4000),
        ),
        Stream(
            "moderations",
            "organization.usage.moderations.result",
            ("input_tokens", "num_model_requests"),
            BY_MODEL,
            _MODEL_FILTERS,
            (Variant({"model": prices.MODERATION_MODEL}, ()),),
            _requests_and(lambda noise: 50 + noise.b % 500),
        ),
        Stream(
            "images",
            "organization.usage.images.result",
            ("images", "num_model_requests"),
            (*BY_MODEL, "size", "source"),
            {**_MODEL_FILTERS, "sizes": "size", "sources": "source"},
            _image_variants(),
            _requests_and(lambda noise: 1 + noise.b % 3),
        ),
        Stream(
            "audio_speeches",
            "organization.usage.audio_speeches.result",
            ("characters", "num_model_requests"),
            BY_MODEL,
            _MODEL_FILTERS,
            (_model_variant(prices.SPEECH_MODEL, "characters", "characters", pico(prices.SPEECH_PRICE_PER_CHARACTER)),),
            _requests_and(lambda noise: 40 + noise.b % 900),
        ),
        Stream(
            "audio_transcriptions",
            "organization.usage.audio_transcriptions.result",
            ("seconds", "num_model_requests"),
            BY_MODEL,
            _MODEL_FILTERS,
            (
                _model_variant(
                    prices.TRANSCRIPTION_MODEL,
                    "duration",
                    "duration_seconds",
                    pico(prices.TRANSCRIPTION_PRICE_PER_SECOND),
                ),
            ),
            _requests_and(lambda noise: 10 + noise.b % 600),
        ),
        Stream(
            "vector_stores",
            "organization.usage.vector_stores.result",
            ("usage_bytes",),
            ("project_id",),
            _PROJECT_FILTER,
            (
                Variant(
                    {},
                    _priced(
                        "vector store storage",
                        None,
                        None,
                        pico(prices.STORAGE_PRICE_PER_GIB_DAY) // (GIB // MIB),
                        MIB,
                    ),
                ),
            ),
            _measure_level,
            is_level=True,
            by_project=True,
        ),
        Stream(
            "code_interpreter_sessions",
            "organization.usage.code_interpreter_sessions.result",
            ("num_sessions",),
            ("project_id",),
            _PROJECT_FILTER,
            (Variant({}, _priced("code interpreter sessions", None, None, pico(prices.SESSION_PRICE))),),
            _count(22),
            by_project=True,
        ),
        Stream(
            "file_search_calls",
            "organization.usage.file_searches.result",
            ("num_requests",),
            (*BY_KEY, "vector_store_id"),
            {**_KEY_FILTERS, "vector_store_ids": "vector_store_id"},
            _file_search_variants(),
            _count(21),
        ),
        Stream(
            "web_search_calls",
            "organization.usage.web_searches.result",
            ("num_requests", "num_model_requests"),
            (*BY_MODEL, "context_level"),
            {**_MODEL_FILTERS, "context_levels": "context_level"},
            _search_variants(),
            _requests_and(lambda noise: 1 + noise.b % 2),
        ),
    )
}
