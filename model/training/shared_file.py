"""Files that others may read too, as the umask has it."""

import os
from pathlib import Path


def share(file: Path) -> None:
    """Give a file that was just written the mode of any new one: safetensors makes its own 0600."""
    mask = os.umask(0)
    os.umask(mask)
    file.chmod(0o666 & ~mask)
