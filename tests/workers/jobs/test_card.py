"""What a card may say: the API relies on it."""

import pytest
from pydantic import ValidationError

from workers.jobs.card import CascadeCard, StageCard


def test_a_stage_can_draw_its_own_square(card: CascadeCard) -> None:
    stage = card.stages[0].model_dump()
    with pytest.raises(ValidationError, match="stage 32: 32 is no multiple of 12"):
        StageCard.model_validate({**stage, "multiple": 12})


def test_a_card_allows_the_square(card: CascadeCard) -> None:
    for limit in ("max_area_ratio", "max_aspect_ratio"):
        with pytest.raises(ValidationError, match=limit):
            CascadeCard.model_validate({**card.model_dump(), limit: 0.9})
