"""Tables on stdout."""

from rich.console import Console
from rich.table import Table


def print_table(table: Table, piped_width: int | None = None) -> None:
    """As wide as the terminal; as piped_width characters where stdout is none.

    Raises: BrokenPipeError, as print() does; rich by itself would end the process.
    """
    console = Console()
    with console.capture() as text:
        console.print(table, width=None if console.is_terminal else piped_width)
    print(text.get(), end="")
