"""One line says where parts run and how precisely; a word that makes no sense is named."""

import re

import pytest
import torch

from model.devices import pick_dtype
from model.errors import InvalidCascade
from model.placement import Placement, Placements

STAGES = ("64", "256")
CPU = torch.device("cpu")


def parse(line: str) -> Placements:
    return Placements.parse(line, STAGES)


def test_auto_is_what_the_machine_has() -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for name in STAGES:
        assert parse("auto").of(name) == Placement(device, pick_dtype(device))
    assert parse("") == parse("auto")


def test_a_word_without_a_name_is_of_all_stages() -> None:
    placements = parse("cpu,float32")
    assert {placements.of(name) for name in STAGES} == {Placement(CPU, torch.float32)}


def test_a_word_with_a_name_is_of_one_part() -> None:
    placements = parse("cpu, 256=bfloat16, 64=float32, text=cpu, text=int8")
    assert placements.of("64") == Placement(CPU, torch.float32)
    assert placements.of("256") == Placement(CPU, torch.bfloat16)
    assert placements.of("text") == Placement(CPU, torch.float32, int8=True)


def test_each_part_has_its_own_device() -> None:
    placements = parse("meta,256=cpu,text=cpu")  # meta stands for a GPU, which is not everywhere
    devices = [placements.of(name).device.type for name in ("text", "64", "256")]
    assert devices == ["cpu", "meta", "cpu"]


def test_text_on_a_cpu_is_in_full_precision_unless_it_is_said() -> None:
    assert parse("cpu,bfloat16").of("text") == Placement(CPU, torch.float32)
    assert parse("cpu,text=bfloat16").of("text") == Placement(CPU, torch.bfloat16)


def test_what_files_in_float16_say_enough_for() -> None:
    placements = parse("cpu,text=int8,64=bfloat16,256=float32")
    assert [placements.of(name).half for name in ("text", *STAGES)] == [True, True, False]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("gpu", "'gpu' is neither a device that can be used here"),
        ("cuda:99", "'cuda:99' is neither a device that can be used here"),
        ("64=float8", "'float8' is neither"),
        ("1024=cpu", "'1024=cpu': there is no '1024'; there are text, 64, 256"),
        ("cpu,auto", "'cpu,auto' says two devices of all: leave one out"),
        ("64=float32,64=bfloat16", "says two dtypes of 64: leave one out"),
        ("64=int8", "int8 is for the text encoder, not for stage 64: say text=int8"),
        ("int8", "int8 is for the text encoder"),
        ("cpu,256=float16", "float16 is slower than float32 on a CPU, where stage 256 is"),
        ("text=float16", "text=float16 overflows in T5: say bfloat16, int8 or float32"),
    ],
)
def test_a_word_that_makes_no_sense_is_named(line: str, named: str) -> None:
    with pytest.raises(InvalidCascade, match=re.escape(named)):
        parse(line)
