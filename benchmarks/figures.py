"""Figures with the hardware they were measured on, printed and kept as JSON.

Summing up needs no torch: a load can be put on a service from where none is installed.
"""

import json
import math
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

RESULTS = Path(__file__).with_name("results")

Row = dict[str, Any]


def hardware() -> str:
    """The processor, its cores that may be used, and the GPU where there is one."""
    import torch

    cores = len(os.sched_getaffinity(0))
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{_processor()}, {cores} cores{gpu}"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def keep(case: str, figures: Mapping[str, Any], shown: str | None = None) -> None:
    """Print a case's figures as `show` does and write them to results/<case>.json."""
    import diffusers
    import torch

    from model.devices import pick_device, pick_dtype

    whole = {
        "case": case,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(),
        "threads": torch.get_num_threads(),
        "dtype": dtype_name(pick_dtype(pick_device())),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        **figures,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{case}.json").write_text(json.dumps(whole, indent=2) + "\n")
    print(f"{case} on {whole['hardware']}")
    show(figures, shown)


def judge(case: str, is_met: bool) -> None:
    """Of the goal of a case whose figures are kept. Raises: SystemExit where it is missed."""
    if not is_met:
        sys.exit(f"{case}: the goal is missed")


def show(figures: Mapping[str, Any], shown: str | None = None) -> None:
    """Print figures; a list of rows among them as a table, or `shown` in its place."""
    for name, value in figures.items():
        if isinstance(value, list) and value:
            print(f"\n{shown or table(value)}\n")
        else:
            print(f"  {name}: {value}")


def table(rows: Sequence[Row]) -> str:
    """A Markdown table of rows that have the same keys."""
    lines = [list(rows[0]), ["--:"] * len(rows[0])]
    lines += [[str(value) for value in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def told(row: Row) -> Row:
    """The row, said as soon as it is measured: a case may take minutes."""
    print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    return row


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share (0 to 1) of them does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def dtype_name(dtype: "torch.dtype") -> str:
    return str(dtype).removeprefix("torch.")
