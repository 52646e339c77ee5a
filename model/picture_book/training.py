"""Makes picture-book's text encoder, as its training file says. Knows no U-Net."""

from pathlib import Path

import torch

from model.loading.folder import Folder
from model.picture_book.networks import new_text_encoder, new_tokenizer
from model.picture_book.reading import Captions, ReadingTask, SaidBatch
from model.training.config import Text
from model.training.loop import Trainer
from model.training.progress import Told
from model.training.texts import LiveTexts


def reading_encoder(told: Text, start: Folder | None, folder: Path) -> LiveTexts:
    """An encoder that has learned to read scenes, from where its checkpoint stands.

    start: the folder that it starts from; None begins with a new one.
    """
    assert told.training is not None
    torch.manual_seed(told.training.seed)  # new weights follow from it
    if start is None:
        tokenizer = new_tokenizer()
        encoder = new_text_encoder(tokenizer)
    else:
        begun = LiveTexts.load(told, start)
        tokenizer, encoder = begun.tokenizer, begun.encoder
    task = ReadingTask(tokenizer, encoder)
    trainer = Trainer(task, Captions(told.training.seed), told.training, folder, collate=SaidBatch)
    with Told("text", folder) as shown:
        trainer.run(shown)
    trainer.keep_averages()
    return LiveTexts(tokenizer, encoder, told.max_tokens, told.trained)
