"""What pictures show, in words: how captions are written in files, and what they say of sides."""

import re
from typing import Annotated

from pydantic import AliasChoices, BaseModel, Field, StringConstraints

from model.errors import InvalidTraining

Caption = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]

_SIDES = re.compile(r"(?<![a-z])(left|right)|[左右]", re.IGNORECASE)


class CaptionField(BaseModel):
    """A JSON object with a caption among other fields: `text`, or else `caption`."""

    text: Annotated[Caption, Field(validation_alias=AliasChoices("text", "caption"))]


def caption_lines(content: bytes, name: str) -> list[str]:
    """The captions in a text file, one a line. Raises InvalidTraining that names the file."""
    lines = (line.strip() for line in decoded(content, name).splitlines())
    captions = [line for line in lines if line]
    if not captions:
        raise InvalidTraining(f"{name} is empty: write what its picture shows, a caption a line")
    return captions


def decoded(content: bytes, name: str) -> str:
    """Text as editors save it, with a byte order mark or without. Raises InvalidTraining."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidTraining(f"{name} is not UTF-8 ({error.reason}): save it as UTF-8") from None


def names_a_side(caption: str) -> bool:
    """Whether it says left or right, in English or Chinese, and is wrong in a mirror."""
    return _SIDES.search(caption) is not None
