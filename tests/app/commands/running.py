"""The `imagen` command, in this process or in one of its own."""

import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from app.cli import cli

WIDE = {"COLUMNS": "200", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}


def run(*arguments: str, **environment: str) -> Result:
    """The command in this process, in any thread of it."""
    return CliRunner().invoke(cli, arguments, prog_name="imagen", env={**WIDE, **environment})


def imagen(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a user has it, with its exit status."""
    process = start(*arguments, **environment)
    stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """The same while it runs."""
    return subprocess.Popen(
        [sys.executable, "-m", "app.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **WIDE, **environment},
    )


def files_in(folder: Path) -> dict[str, bytes]:
    """What the command has written there, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
