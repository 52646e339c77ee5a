"""What the `imagen` command can do, a file each. Whatever is slow to import waits for its command.

So nothing here imports more than typer and the standard library at its top.
"""
