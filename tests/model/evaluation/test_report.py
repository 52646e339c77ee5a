"""A report reads as Markdown, and names every picture that it shows."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from model.cascade import Cascade
from model.evaluation.report import Section, Shown, facts_of, make_report, table


def shown(*prompts: str) -> tuple[Shown, ...]:
    pixels = torch.zeros(2, 2, 3, dtype=torch.uint8)
    return tuple(Shown(pixels, prompt, seed) for seed, prompt in enumerate(prompts))


def lines_of(sections: Sequence[Section]) -> list[str]:
    facts = {"cascade": "tiny"}
    return make_report(facts, sections, "imagen evaluate", "pictures").markdown.splitlines()


def test_facts_the_command_and_every_section_are_told() -> None:
    lines = lines_of([Section("Loss", "It is 1."), Section("Colours", "Red.")])
    assert lines[0].startswith("# ")
    assert "| cascade | tiny |" in lines
    assert lines.index("imagen evaluate") == lines.index("```sh") + 1
    assert [line for line in lines if line.startswith("## ")] == ["## Loss", "## Colours"]
    assert lines.index("It is 1.") < lines.index("## Colours") < lines.index("Red.")


def test_pictures_stand_in_rows_with_their_prompts_below() -> None:
    lines = lines_of([Section("Few", "", shown("a", "b"))])
    row = lines.index("| ![](pictures/0-0.png) | ![](pictures/0-1.png) |")
    assert lines[row + 1] == "| a, seed 0 | b, seed 1 |"


def test_each_row_of_pictures_is_as_wide_as_the_first() -> None:
    lines = lines_of([Section("Seven", "", shown(*"abcdefg"))])
    grid = lines[lines.index("## Seven") :]
    assert {line.count(" | ") for line in grid if line.startswith("|")} == {5}
    assert sum(line.count("![]") for line in grid) == 7


def test_pictures_in_any_folder_are_found() -> None:
    report = make_report({}, [Section("A", "", shown("a"))], "", "my report")
    assert list(report.pictures) == ["my report/0-0.png"]
    assert "![](my%20report/0-0.png)" in report.markdown


def test_every_picture_has_a_name_of_its_own() -> None:
    one, other = shown("a"), shown("b")
    report = make_report({}, [Section("A", "", one), Section("B", "", other)], "", "pictures")
    assert report.pictures == {"pictures/0-0.png": one[0], "pictures/1-0.png": other[0]}
    assert all(f"![]({name})" in report.markdown for name in report.pictures)


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("一只红色的猫", "一只红色的猫"),
        ("a | b", "a \\| b"),
        ("<b>*a*</b>\n_cat_", "\\<b\\>\\*a\\*\\</b\\> \\_cat\\_"),
    ],
)
def test_a_prompt_is_read_as_it_was_written(prompt: str, told: str) -> None:
    assert f"| {told}, seed 0 |" in lines_of([Section("", "", shown(prompt))])


def test_a_remark_stands_below_the_prompt() -> None:
    pixels = torch.zeros(2, 2, 3, dtype=torch.uint8)
    lines = lines_of([Section("", "", (Shown(pixels, "a cat", 3, "wrong: colors"),))])
    assert "| a cat, seed 3<br>**wrong: colors** |" in lines


def test_a_table_has_its_titles_first() -> None:
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_facts_are_those_of_the_cascade(tiny_cascade: Path) -> None:
    cascade = Cascade.load(tiny_cascade, "cpu,16=float32,8=bfloat16")
    facts = facts_of(cascade)
    assert facts["cascade"] == "tiny"
    parameters = sum(weight.numel() for weight in cascade.stages[1].network.unet.parameters())
    assert facts["stage 16"].startswith(f"{parameters / 1e6:.1f} million parameters in float32; 2")
    assert facts["stage 16"].endswith("guidance 1 at times from 0 to 1, aug_level 0.25")
    assert "in bfloat16; 3 steps of dpmpp, guidance 4" in facts["stage 8"]
    assert {"date", "hardware", "torch"} <= facts.keys()
