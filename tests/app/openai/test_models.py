"""GET /v1/models: the cascade that is served."""

import openai as package
import pytest
from openai import AsyncOpenAI

from tests.app.conftest import CARD, show
from tests.app.openai.conftest import Service


@pytest.mark.usefixtures("served")
async def test_the_cascade_is_the_one_model(openai: AsyncOpenAI) -> None:
    (model,) = [model async for model in openai.models.list()]
    assert model.to_dict() == {
        "id": "picture-book",
        "object": "model",
        "created": 0,
        "owned_by": "imagen",
    }
    assert await openai.models.retrieve("picture-book") == model


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("name", ["dall-e-3", "picture-book/", "a/b", "%"])
async def test_there_is_no_other(openai: AsyncOpenAI, name: str) -> None:
    with pytest.raises(package.NotFoundError) as raised:
        await openai.models.retrieve(name)
    assert (raised.value.param, raised.value.code) == ("model", "model_not_found")
    assert 'use "picture-book"' in raised.value.message


async def test_a_name_may_have_a_slash_in_it(openai: AsyncOpenAI, service: Service) -> None:
    show(service.services.settings, CARD.model_copy(update={"name": "deep/floyd"}))
    assert (await openai.models.retrieve("deep/floyd")).id == "deep/floyd"


async def test_without_a_worker_there_is_none(openai: AsyncOpenAI) -> None:
    with pytest.raises(package.InternalServerError) as raised:
        await openai.models.list()
    assert raised.value.status_code == 503
