"""Examples of picture files: epochs, resuming, crops, flips, and what is held out."""

import hashlib
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from model.training.data.captioned import EndlessPictures, PicturesInOrder, split
from model.training.data.examples import Batch, Example, Examples
from model.training.data.folder import find_in_folder
from model.training.data.picture_file import PictureFile
from model.training.data.shards import find_in_shards
from tests.model.training.data.written import noise_png, write_shades, write_shard

COUNT = 23


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[PictureFile]:
    """Grey pictures 24 px wide and 16 px high, each of a shade of its own, with captions."""
    return find_in_folder(write_shades(tmp_path_factory.mktemp("shades"), COUNT))


def captions(examples: Examples, positions: Iterable[int]) -> list[str]:
    return [examples[position].caption for position in positions]


def named(count: int) -> list[PictureFile]:
    return [PictureFile(f"{number}.png", ("a cat",), 16, Path()) for number in range(count)]


def names(files: Iterable[PictureFile]) -> set[str]:
    return {file.name for file in files}


def test_every_picture_comes_once_an_epoch(files: list[PictureFile]) -> None:
    examples = EndlessPictures(files, 8, seed=1)
    epochs = [captions(examples, range(n * COUNT, (n + 1) * COUNT)) for n in range(3)]
    everything = sorted(examples.captions)
    assert len(everything) == COUNT
    assert [sorted(epoch) for epoch in epochs] == [everything] * 3
    assert len({tuple(epoch) for epoch in epochs} | {examples.captions}) == 4


def test_another_seed_is_another_order(files: list[PictureFile]) -> None:
    first, again, other = (
        captions(EndlessPictures(files, 8, seed), range(COUNT)) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_picture_keeps_its_caption(files: list[PictureFile]) -> None:
    examples = EndlessPictures(files, 8, seed=1, flip=True, random_crop=True)
    for position in range(COUNT):
        example = examples[position]
        shade = int(example.caption.removeprefix("shade "))
        assert example.picture.shape == (3, 8, 8)
        torch.testing.assert_close(example.picture, torch.full((3, 8, 8), shade / 127.5 - 1))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more processes than cores
@pytest.mark.parametrize("workers", [0, 2])
def test_processes_that_read_ahead_resume_where_training_stood(
    tmp_path: Path, workers: int
) -> None:
    """Of shards, whose files processes must not share, over the end of an epoch."""
    for number in range(2):
        members = {}
        for key in range(3):
            members[f"{key}.png"] = noise_png(number * 3 + key)
            members[f"{key}.txt"] = f"{number} {key}\n{key} {number}".encode()
        write_shard(tmp_path / f"{number}.tar", members)
    files = find_in_shards(tmp_path)
    examples = EndlessPictures(files, 8, seed=3, flip=True, random_crop=True)
    begin, end = 4, 28
    loader = DataLoader(
        cast(Dataset[Example], examples),
        batch_size=4,
        sampler=range(begin, end),
        num_workers=workers,
        collate_fn=Batch.of,
    )
    batches = list(loader)
    assert [len(batch) for batch in batches] == [4] * 6
    expected = Batch.of([examples[position] for position in range(begin, end)])
    assert tuple(said for batch in batches for said in batch.captions) == expected.captions
    assert torch.equal(torch.cat([batch.pictures for batch in batches]), expected.pictures)


def test_examples_travel_to_other_processes(files: list[PictureFile]) -> None:
    examples = EndlessPictures(files, 8, seed=1)
    copy = pickle.loads(pickle.dumps(examples))
    assert captions(copy, range(9)) == captions(examples, range(9))


def noise(folder: Path, caption: str) -> list[PictureFile]:
    """One picture, 14 px wide and 10 px high."""
    folder.mkdir(exist_ok=True)
    (folder / "1.png").write_bytes(noise_png(0))
    (folder / "1.txt").write_text(caption, "utf-8")
    return find_in_folder(folder)


def test_half_of_the_pictures_are_mirrored(tmp_path: Path) -> None:
    file = noise(tmp_path, "a cat")
    straight = EndlessPictures(file, 8, seed=0)[0].picture
    flipped = [EndlessPictures(file, 8, seed=0, flip=True)[n].picture for n in range(200)]
    mirrored = sum(torch.equal(picture, straight.flip(-1)) for picture in flipped)
    assert sum(torch.equal(picture, straight) for picture in flipped) == 200 - mirrored
    assert 70 < mirrored < 130  # by chance it is not, once in 50,000


def test_what_a_mirror_makes_wrong_is_never_mirrored(tmp_path: Path) -> None:
    file = noise(tmp_path, "a cat left of a dog\n猫在狗的左边\na cat by a dog")
    straight = EndlessPictures(file, 8, seed=0)[0].picture
    examples = EndlessPictures(file, 8, seed=0, flip=True)
    mirrored = {
        examples[position].caption
        for position in range(100)
        if not torch.equal(examples[position].picture, straight)
    }
    assert mirrored == {"a cat by a dog"}


def test_squares_are_in_the_middle_or_anywhere(tmp_path: Path) -> None:
    (file,) = noise(tmp_path, "a cat")
    middle = EndlessPictures([file], 10, seed=0)
    assert all(torch.equal(middle[n].picture, file.square(10)) for n in range(5))
    anywhere = EndlessPictures([file], 10, seed=0, random_crop=True)
    assert len({anywhere[n].picture.numpy().tobytes() for n in range(20)}) == 20


def test_one_of_several_captions_is_taken(tmp_path: Path) -> None:
    examples = EndlessPictures(noise(tmp_path, "a cat\na small cat"), 8, seed=0)
    assert examples.captions == ("a cat", "a small cat")
    said = captions(examples, range(100))
    assert 25 < said.count("a cat") < 75
    assert set(said) == set(examples.captions)


def test_in_order_there_is_no_chance(files: list[PictureFile]) -> None:
    pictures = PicturesInOrder(files[::-1], 8)
    assert [example.caption for example in pictures] == [file.captions[0] for file in files]
    assert pictures.captions == tuple(file.captions[0] for file in files)
    assert len(pictures) == COUNT
    assert [example.caption for example in pictures[3:5]] == ["shade 15", "shade 20"]
    assert torch.equal(pictures[-1].picture, files[-1].square(8))
    with pytest.raises(IndexError):
        pictures[COUNT]


def test_in_order_a_picture_has_its_first_caption(tmp_path: Path) -> None:
    pictures = PicturesInOrder(noise(tmp_path, "a cat\na small cat"), 8)
    assert [example.caption for example in pictures] == ["a cat"]
    assert pictures.captions == ("a cat",)


def test_what_is_held_out_is_a_share_and_not_trained_on() -> None:
    files = named(2000)
    training, held_out = split(files, 0.1)
    assert names(training).isdisjoint(names(held_out))
    assert names(training) | names(held_out) == names(files)
    assert len(training) + len(held_out) == 2000
    assert 150 < len(held_out) < 250


def test_what_is_held_out_stays_so_when_pictures_are_added() -> None:
    before = names(split(named(100), 0.1)[1])
    after = names(split(list(reversed(named(200))), 0.1)[1])
    assert before < after
    assert after & names(named(100)) == before
    assert before < names(split(named(100), 0.2)[1])


def test_what_is_held_out_is_so_on_every_machine() -> None:
    """By the name alone; Python's own hashes of strings differ from process to process."""
    expected = {
        file.name
        for file in named(100)
        if int(hashlib.sha256(file.name.encode()).hexdigest()[:12], 16) < 0.1 * 16**12
    }
    assert names(split(named(100), 0.1)[1]) == expected


@pytest.mark.parametrize("held_out", [0.001, 0.999])
@pytest.mark.parametrize("count", [2, 3])
def test_neither_part_is_empty(count: int, held_out: float) -> None:
    assert all(split(named(count), held_out))


def test_where_nothing_is_to_be_held_out_nothing_is() -> None:
    assert split(named(50), 0.0) == (named(50), [])
    assert split(named(1), 0.5) == (named(1), [])
