"""Types of fields that several bodies and answers share."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from convergence.kit.jsontext import format_time
from convergence.kit.money import format_amount

T = TypeVar("T")


class Body(BaseModel):
    """A request body: what it does not know it refuses."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)


class Answer(BaseModel):
    """An answer."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class Page(Answer, Generic[T]):
    """A part of a list. `next_cursor` asks for the next one; null at the end."""

    items: list[T]
    next_cursor: str | None = None


def _refuse_surprises(value: object) -> object:
    """Days and moments are text here: pydantic would take numbers for seconds since 1970."""
    if value is not None and not isinstance(value, str):
        raise ValueError("is not text")
    return value


def _check_storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("has a NUL character")
    return text


Day = Annotated[date, BeforeValidator(_refuse_surprises)]
Moment = Annotated[datetime, BeforeValidator(_refuse_surprises)]
Text = Annotated[str, AfterValidator(_check_storable)]
Amount = Annotated[Decimal, PlainSerializer(format_amount, return_type=str, when_used="json")]
Time = Annotated[datetime, PlainSerializer(format_time, return_type=str, when_used="json")]
RequestText = Annotated[Text, Field(max_length=1000)]
