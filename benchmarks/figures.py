"""Figures with the hardware they were measured on, printed and kept as JSON."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).with_name("results")


def hardware() -> str:
    """The processor, its cores that may be used, and the GPU where there is one."""
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


def keep(case: str, figures: dict[str, Any]) -> None:
    """Print a case's figures and write them to results/<case>.json."""
    whole = {
        "case": case,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(),
        "torch": torch.__version__,
        **figures,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{case}.json").write_text(json.dumps(whole, indent=2) + "\n")
    print(f"{case} on {whole['hardware']}")
    for name, value in figures.items():
        print(f"  {name}: {value}")
