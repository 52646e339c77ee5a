"""Tables on stdout."""

from rich.console import Console
from rich.table import Table


def print_table(table: Table, piped_width: int | None = None) -> None:
    """As wide as the terminal; as piped_width characters where stdout is none.

    Raises: BrokenPipeError, as print() does; rich by itself would end the process.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=piped_width)
    with console.capture() as text:
        console.print(table)
    print("\n".join(line.rstrip() for line in text.get().splitlines()))
