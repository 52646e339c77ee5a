"""Imports run one way, torch stays out of the API, and files stay small enough to read."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("app", "model", "workers")
MAX_LINES = 300

TORCH = ("accelerate", "diffusers", "safetensors", "tokenizers", "torch", "transformers")
OUTSIDE = ("fastapi", "hiredis", "httpx", "PIL", "redis", "starlette", "typer", "uvicorn")
NEVER = ("benchmarks", "tests")

FILES = [
    path.relative_to(ROOT)
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
]
LUA_FILES = [path.relative_to(ROOT) for path in sorted((ROOT / "workers").rglob("*.lua"))]


def forbidden(path: Path) -> tuple[str, ...]:
    """The modules that a file may not import, by where it lies."""
    match path.parts:
        case ("app", "draw.py"):  # `imagen generate`, and no one else
            return NEVER
        case (
            "app",
            "commands",
            "evaluating.py" | "here.py" | "torch_imports.py" | "train.py" | "worker.py",
        ):
            return NEVER
        case ("app", "commands", "measuring.py"):  # `imagen load` and `bench`
            return ("tests",)
        case ("app", *_):
            return (*NEVER, *TORCH, "model", "workers")
        case ("workers", "jobs", *_):
            return (*NEVER, *TORCH, "app", "model", "fastapi", "PIL", "workers")
        case ("workers", *_):
            return (*NEVER, "app", "fastapi", "starlette", "uvicorn")
        case ("model", "picture_book" | "training", *_):  # they draw, read and look at pictures
            return (*NEVER, *(name for name in OUTSIDE if name != "PIL"), "app", "workers")
        case _:
            return (*NEVER, *OUTSIDE, "app", "workers")


def allowed(path: Path) -> tuple[str, ...]:
    """Exceptions to what is forbidden: the contract, for those who share it."""
    return ("workers.jobs",) if path.parts[0] in ("app", "workers") else ()


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere in it, by its full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, "imports are absolute"
            # `from workers import jobs` imports workers.jobs.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def read(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text("utf-8"))


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_run_one_way(path: Path) -> None:
    wrong = [
        module
        for module in imports(read(path))
        if any(is_within(module, package) for package in forbidden(path))
        and not any(is_within(module, package) for package in allowed(path))
    ]
    assert not wrong, f"{path} may not import {', '.join(wrong)}"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_is_one_idea(path: Path) -> None:
    lines = len((ROOT / path).read_text("utf-8").splitlines())
    assert lines <= MAX_LINES, f"{path} has {lines} lines: it is two files"


@pytest.mark.parametrize(
    "module", ["app.main", "app.cli", "app.processes.serve", "workers.jobs.queue"]
)
def test_torch_stays_out(module: str) -> None:
    loaded = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    )
    names = set(done.stdout.split())
    assert module in names
    assert names.isdisjoint({*TORCH, "model"})


@pytest.mark.parametrize("path", LUA_FILES, ids=str)
def test_a_lua_script_begins_by_saying_what_it_does(path: Path) -> None:
    assert (ROOT / path).read_text("utf-8").startswith("-- ")


def test_there_is_something_to_look_at() -> None:
    assert {path.parts[0] for path in FILES} == set(PACKAGES)
    assert LUA_FILES
