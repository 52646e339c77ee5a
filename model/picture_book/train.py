"""Trains picture-book on its own scenes, and exports it.

python -m model.picture_book.train base --run runs/base --images 130000
python -m model.picture_book.train super-resolution --run runs/sr --images 24000
python -m model.picture_book.train export --base runs/base --super-resolution runs/sr --to DIR
"""

import argparse
import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.picture_book.captions import caption
from model.picture_book.export import export
from model.picture_book.networks import (
    BASE_PX,
    SCHEDULE,
    SUPER_RESOLUTION_PX,
    new_base_unet,
    new_super_resolution_unet,
    new_text_encoder,
    new_tokenizer,
)
from model.picture_book.scenes import random_scene
from model.training.loop import Task, Trainer, TrainingConfig
from model.training.tasks import BaseTask, CaptionedPictures, Captions, SuperResolutionTask


def scene_pictures(size_px: int) -> CaptionedPictures:
    """Random scenes as training data; a batch is a function of its generator."""

    def pictures(count: int, generator: torch.Generator) -> tuple[Tensor, list[str]]:
        seed = int(torch.randint(2**62, (), generator=generator))
        rng = random.Random(seed)
        scenes = [random_scene(rng) for _ in range(count)]
        pixels = np.stack([scene.draw(rng, size_px) for scene in scenes])
        x0 = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
        return x0, [caption(scene, rng) for scene in scenes]

    return pictures


def base_task() -> BaseTask:
    tokenizer = new_tokenizer()
    captions = Captions(tokenizer, new_text_encoder(tokenizer))
    return BaseTask(new_base_unet(), captions, SCHEDULE, scene_pictures(BASE_PX))


def super_resolution_task() -> SuperResolutionTask:
    return SuperResolutionTask(
        new_super_resolution_unet(),
        SCHEDULE,
        scene_pictures(SUPER_RESOLUTION_PX),
        low_res_px=BASE_PX,
        crop_px=64,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("base", "super-resolution"):
        train = verbs.add_parser(verb)
        train.add_argument("--run", type=Path, required=True, help="folder of checkpoint and log")
        train.add_argument("--images", type=int, required=True, help="length of the whole run")
        train.add_argument("--batch", type=int, default=40)
        train.add_argument("--threads", type=int, default=torch.get_num_threads())
    to_folder = verbs.add_parser("export")
    to_folder.add_argument("--base", type=Path, required=True)
    to_folder.add_argument("--super-resolution", type=Path)
    to_folder.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.verb == "export":
        export(arguments.base, arguments.super_resolution, arguments.to)
        return
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    task: Task = base_task() if arguments.verb == "base" else super_resolution_task()
    steps = arguments.images // arguments.batch
    config = TrainingConfig(
        images=arguments.images, batch=arguments.batch, warmup_steps=min(300, steps // 10)
    )
    Trainer(task, config, arguments.run).run()


if __name__ == "__main__":
    main()
