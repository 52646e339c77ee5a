"""What clients of OpenAI's are told: pictures, the events of a stream, models, errors."""

import base64
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

CREATED_AT = 1767268803
URL = "http://127.0.0.1:8000/images/2f6c1c9f0b7d4f0e9a53b1d0c8e7a6f5/0.png"
PNG_BASE64 = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
"""How each of them begins."""


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


class Picture(BaseModel):
    """A finished picture, as `response_format` asks for it."""

    model_config = _example(url=URL)

    url: str | None = Field(default=None, description="Of a PNG that never changes.")
    b64_json: str | None = Field(default=None, description="The PNG in base64.")
    blocked_by: str | None = Field(
        default=None,
        description="What a safety checker made the picture black for, nsfw or watermark, where "
        "others of the job are as they were asked for. Where there are none it is an error.",
    )


class ImagesAnswer(BaseModel):
    """The pictures of a job, in the order of their seeds."""

    model_config = _example(
        created=CREATED_AT,
        data=[{"url": URL}],
        background="opaque",
        output_format="png",
        size="128x128",
    )

    created: int = Field(description="Unix seconds.")
    data: list[Picture]
    background: Literal["opaque"] = "opaque"
    output_format: Literal["png"] = "png"
    size: str = Field(description="WIDTHxHEIGHT in pixels.")


class ImageEvent(BaseModel):
    """What the events of a stream have in common."""

    created_at: int = Field(description="Unix seconds.")
    b64_json: str = Field(description="A PNG in base64.")
    size: str = Field(description="Of the picture that was asked for: WIDTHxHEIGHT in pixels.")
    quality: Literal["auto"] = "auto"
    background: Literal["opaque"] = "opaque"
    output_format: Literal["png"] = "png"


EVENT_EXAMPLE = {
    "created_at": CREATED_AT,
    "b64_json": PNG_BASE64,
    "size": "128x128",
    "quality": "auto",
    "background": "opaque",
    "output_format": "png",
}


class PartialImageEvent(ImageEvent):
    """What the picture looks like so far; it may be smaller than the finished one."""

    model_config = _example(
        type="image_generation.partial_image", partial_image_index=0, **EVENT_EXAMPLE
    )

    type: Literal["image_generation.partial_image"] = "image_generation.partial_image"
    partial_image_index: int


class CompletedEvent(ImageEvent):
    """The finished picture. The stream ends."""

    model_config = _example(type="image_generation.completed", usage=None, **EVENT_EXAMPLE)

    type: Literal["image_generation.completed"] = "image_generation.completed"
    usage: None = Field(default=None, description="Nothing is counted in tokens here.")


ERROR_EXAMPLE = {
    "message": "prompt is missing: say what to draw in 1 to 2000 characters",
    "type": "invalid_request_error",
    "param": "prompt",
    "code": "invalid_value",
}


class ErrorDetails(BaseModel):
    """What is wrong, and what to do about it."""

    model_config = _example(**ERROR_EXAMPLE)

    message: str
    type: str
    param: str | None = Field(default=None, description="The field that is wrong, or the first.")
    code: str | None = None


class ErrorAnswer(BaseModel):
    """An error, as OpenAI's clients read it."""

    model_config = _example(error=ERROR_EXAMPLE)

    error: ErrorDetails


class ErrorEvent(ErrorAnswer):
    """Why there is no picture. The stream ends."""

    model_config = _example(
        type="error",
        error={
            "message": "the job was canceled: ask again",
            "type": "invalid_request_error",
            "param": None,
            "code": "job_canceled",
        },
    )

    type: Literal["error"] = "error"


MODEL_EXAMPLE = {"id": "picture-book", "object": "model", "created": 0, "owned_by": "imagen"}


class Model(BaseModel):
    """The cascade that is served."""

    model_config = _example(**MODEL_EXAMPLE)

    id: str
    object: Literal["model"] = "model"
    created: int = Field(default=0, description="Always 0: a cascade does not say when.")
    owned_by: Literal["imagen"] = "imagen"


class ModelList(BaseModel):
    """Every model there is to ask for: one."""

    model_config = _example(object="list", data=[MODEL_EXAMPLE])

    object: Literal["list"] = "list"
    data: list[Model]
