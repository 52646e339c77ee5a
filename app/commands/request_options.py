"""The options of `imagen generate`, in the order in which its help shows them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

SAMPLING = "Sampling: 20 for all stages, or 20,8 (else as the cascade says)"
HERE = "Drawn here, without --url"
THERE = "Drawn by a service"

Prompt = Annotated[str, typer.Argument(metavar="PROMPT", help="What to draw.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="PNG to write; of cat.png, several are cat-0.png ... (else a-red-cat-7.png).",
    ),
]
Count = Annotated[int | None, typer.Option("-n", metavar="N", help="How many (else 1).")]
Negative = Annotated[
    str | None, typer.Option("--negative", metavar="TEXT", help="What to steer away from.")
]
Seed = Annotated[
    int | None, typer.Option(metavar="SEED", help="Same seed, same picture (else random).")
]
Size = Annotated[int | None, typer.Option(metavar="PX", help="A stage's (else the largest).")]
Side = Annotated[int | None, typer.Option(metavar="PX", help="Where it is not the size.")]

Steps = Annotated[
    str | None,
    typer.Option(metavar="N", help="Denoising steps.", rich_help_panel=SAMPLING),
]
GuidanceScale = Annotated[
    str | None,
    typer.Option(
        metavar="X",
        help="How hard to follow the prompt.",
        rich_help_panel=SAMPLING,
    ),
]
GuidanceInterval = Annotated[
    str | None,
    typer.Option(
        metavar="FROM:TO",
        help="Times to follow it at: 0 is the picture, 1 noise.",
        rich_help_panel=SAMPLING,
    ),
]
SamplerName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="ddpm, ddim, dpmpp, dpmpp_1, dpmpp_sde or dpmpp_sde_1.",
        rich_help_panel=SAMPLING,
    ),
]
Eta = Annotated[
    str | None,
    typer.Option(
        metavar="X",
        help="How much of ddim's noise is fresh, 0 to 1.",
        rich_help_panel=SAMPLING,
    ),
]
AugLevel = Annotated[
    str | None,
    typer.Option(
        metavar="X",
        help="Noise on what super-resolution enlarges, 0 to 1.",
        rich_help_panel=SAMPLING,
    ),
]

Adapters = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter",
        metavar="NAME[=SCALE]",
        help="One of the cascade's adapters, -5 to 5 (else 1); may be given again.",
        rich_help_panel=SAMPLING,
    ),
]

CascadeHere = Annotated[
    str | None,
    typer.Option(
        "--cascade",
        metavar="FOLDER|ID",
        help="Cascade's folder, cascade.json, or hub id (IMAGEN_CASCADE, else picture-book).",
        rich_help_panel=HERE,
    ),
]
DeviceHere = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="auto, cpu, cuda:1, or by part: cuda,text=cpu,text=int8 (IMAGEN_DEVICE).",
        rich_help_panel=HERE,
    ),
]

ServiceUrl = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        envvar="IMAGEN_URL",
        help="The service's, as http://127.0.0.1:8000.",
        rich_help_panel=THERE,
    ),
]
ServiceKey = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        envvar="IMAGEN_API_KEY",
        help="API key, where one is needed.",
        rich_help_panel=THERE,
    ),
]
NoWait = Annotated[
    bool,
    typer.Option(
        "--no-wait",
        help="Print the job's id, and leave it to `imagen jobs`.",
        rich_help_panel=THERE,
    ),
]
JobPriority = Annotated[
    Literal["low", "normal", "high"] | None,
    typer.Option("--priority", help="What goes first.", rich_help_panel=THERE),
]
Deadline = Annotated[
    float | None,
    typer.Option(
        "--deadline",
        metavar="SECONDS",
        help="It expires where it is not done by then.",
        rich_help_panel=THERE,
    ),
]
WebhookUrl = Annotated[
    str | None,
    typer.Option("--webhook", metavar="URL", help="Told of the end.", rich_help_panel=THERE),
]
