"""A plain server around diffusers' pipelines, to be compared with: one picture at a time."""

import argparse
import asyncio
import base64
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from benchmarks.theirs import Asked, Pipelines
from model.devices import pick_device


class Request(BaseModel):
    prompt: str
    seed: int
    steps: int
    guidance_scale: float
    n: int = 1


class Answer(BaseModel):
    """images: PNG, base64."""

    images: list[str]


def create_app(pipelines: Pipelines) -> FastAPI:
    app = FastAPI()
    # The pipelines' schedulers keep where they are: two calls at once would mix them up.
    one_at_a_time = asyncio.Lock()

    @app.get("/readyz")
    def readyz() -> str:
        return "ready"

    @app.post("/generate")
    async def generate(request: Request) -> Answer:
        async with one_at_a_time:
            return await run_in_threadpool(_draw, pipelines, request)

    return app


def _draw(pipelines: Pipelines, request: Request) -> Answer:
    text = pipelines.encode([request.prompt])
    asked = Asked((request.steps,) * 2, (request.guidance_scale,) * 2)
    images = []
    for index in range(request.n):
        generator = torch.Generator().manual_seed(request.seed + index)
        [image] = pipelines.draw(text, asked, generator)
        png = io.BytesIO()
        image.save(png, format="PNG")
        images.append(base64.b64encode(png.getvalue()).decode())
    return Answer(images=images)


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="as sized_cascades.py writes it")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dtype", choices=["float32", "float16", "bfloat16"], required=True)
    options = parser.parse_args(arguments)
    pipelines = Pipelines(options.folder, pick_device(), getattr(torch, options.dtype))
    uvicorn.run(create_app(pipelines), port=options.port, log_level="warning")


if __name__ == "__main__":
    main(sys.argv[1:])
