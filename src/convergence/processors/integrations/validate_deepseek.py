"""Asks DeepSeek whether it accepts a credential: the one the caller gives, or the one that is stored."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from convergence.processors.integrations._validation import ValidationEngine


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def get_engine() -> ValidationEngine:
    return ValidationEngine("deepseek")
