"""picture-book's text encoder learns to read anew, or goes on from a folder."""

from pathlib import Path

import pytest
import torch

from model.errors import InvalidTraining
from model.loading.cascade_folder import picture_book_folder
from model.loading.folder import Folder
from model.picture_book.training import reading_encoder
from model.training.config import Text
from tests.model.training.regression import training

STILL = training(images=8, batch=4, rate=1e-30, weight_decay=0.0)


def test_a_new_encoder_follows_from_the_seed(tmp_path: Path) -> None:
    once, again = (
        reading_encoder(Text(training=STILL), None, tmp_path / name).encoder
        for name in ("once", "again")
    )
    assert torch.equal(once.shared.weight, again.shared.weight)


def test_it_goes_on_from_a_folder(tmp_path: Path) -> None:
    folder = Folder(picture_book_folder() / "text")
    told = Text(path=str(folder), max_tokens=32, training=STILL)
    texts = reading_encoder(told, folder, tmp_path)
    begun = texts.encoder
    new = reading_encoder(Text(training=STILL), None, tmp_path / "new").encoder
    assert begun.dtype == torch.float32  # the folder's are float16, which no optimizer can step
    assert begun.shared.weight is begun.encoder.embed_tokens.weight
    assert not torch.allclose(begun.shared.weight, new.shared.weight, atol=0.1)
    assert texts.export(tmp_path / "cascade")["max_tokens"] == 32


def test_an_encoder_of_other_words_is_refused(tmp_path: Path, tiny_cascade: Path) -> None:
    folder = Folder(tiny_cascade / "base")
    told = Text(path=str(folder), training=STILL)
    with pytest.raises(InvalidTraining, match=r"text.path: its tokenizer does not know .* and \d"):
        reading_encoder(told, folder, tmp_path)
