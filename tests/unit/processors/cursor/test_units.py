"""The unit of amounts is declared in the pipeline, never assumed."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from convergence.processors.cursor import spend, usage_events


@pytest.mark.parametrize("config", [usage_events.Config, spend.Config])
@pytest.mark.parametrize("given", [{}, {"amount_unit": "pennies"}])
def test_a_step_that_reads_amounts_does_not_guess_their_unit(config: type[BaseModel], given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="amount_unit"):
        config.model_validate(given)
