"""Where each part of a cascade runs and how precisely, as one line of words says it."""

from collections.abc import Collection
from dataclasses import dataclass, field

import torch

from model.devices import pick_device, pick_dtype
from model.errors import InvalidCascade

TEXT = "text"
"""Names the text encoder; the other parts are stages, by their names."""

INT8 = "int8"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Placement:
    """dtype: what it computes in. int8: its weights are kept in 8 bits."""

    device: torch.device
    dtype: torch.dtype
    int8: bool = False

    @property
    def half(self) -> bool:
        """Whether float16 files hold as much as will be kept."""
        return self.int8 or self.dtype != torch.float32

    @property
    def precision(self) -> str:
        """The word for it."""
        return INT8 if self.int8 else str(self.dtype).removeprefix("torch.")


@dataclass
class _Words:
    """What is said of one part, or without a name of all."""

    device: str | None = None
    dtype: str | None = None


@dataclass(frozen=True)
class Placements:
    """Placements by part."""

    parts: dict[str, Placement] = field(default_factory=dict)

    @classmethod
    def parse(cls, line: str, stages: Collection[str]) -> "Placements":
        """Read words between commas, such as "cuda:0,text=cpu,text=int8,256=bfloat16".

        A word is a device (auto, cpu, cuda, cuda:1, mps) or a number type, of one part or without
        a name of all; a number type without a name is that of the stages, since the text encoder
        is more easily upset. Raises InvalidCascade that names the word and what is known.
        """
        names = (TEXT, *stages)
        said = _read(line, names)
        everywhere = said.pop("")
        parts = {}
        for name in names:
            of_part = said.get(name, _Words())
            device = _device(of_part.device or everywhere.device or "auto")
            dtype = of_part.dtype or (None if name == TEXT else everywhere.dtype)
            parts[name] = _text(device, dtype) if name == TEXT else _stage(name, device, dtype)
        return cls(parts)

    def of(self, name: str) -> Placement:
        """That of the text encoder or of a stage."""
        return self.parts[name]


def _read(line: str, names: Collection[str]) -> dict[str, _Words]:
    """The words by the part that they are about; "" is all."""
    said: dict[str, _Words] = {"": _Words()}
    for word in filter(None, (word.strip() for word in line.split(","))):
        name, _, value = word.rpartition("=")
        if name and name not in names:
            raise InvalidCascade(f"{word!r}: there is no {name!r}; there are {', '.join(names)}")
        words = said.setdefault(name, _Words())
        what = "dtype" if value in (*DTYPES, INT8) else "device"
        if getattr(words, what) is not None:
            raise InvalidCascade(f"{line!r} says two {what}s of {name or 'all'}: leave one out")
        setattr(words, what, value)
    return said


def _device(name: str) -> torch.device:
    try:
        device = pick_device(name)
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:  # torch says either
        reason = str(error).partition("\n")[0]
        raise InvalidCascade(
            f"{name!r} is neither a device that can be used here ({reason}) nor one of"
            f" {', '.join((*DTYPES, INT8))}; auto picks a device that can"
        ) from None
    return device


def _text(device: torch.device, dtype: str | None) -> Placement:
    if dtype == "float16":
        raise InvalidCascade("text=float16 overflows in T5: say bfloat16, int8 or float32")
    # float32 takes twice the memory, but a CPU's embeddings are then the same everywhere.
    usual = torch.bfloat16 if device.type == "cuda" else torch.float32
    return Placement(device, DTYPES.get(dtype or "", usual), int8=dtype == INT8)


def _stage(name: str, device: torch.device, dtype: str | None) -> Placement:
    if dtype == INT8:
        raise InvalidCascade(
            f"{INT8} is for the text encoder, not for stage {name}: say text={INT8}"
        )
    if dtype == "float16" and device.type == "cpu":
        raise InvalidCascade(
            f"float16 is slower than float32 on a CPU, where stage {name} is: say bfloat16"
        )
    return Placement(device, pick_dtype(device) if dtype is None else DTYPES[dtype])
