"""What the processes of a service log."""


def log_as(process: str) -> None:
    """To stderr, which the processes of `imagen serve` share.

    Raises: WrongUsage that names the variable which cannot be used.
    """
    from app.commands.options import read_settings
    from app.telemetry.logs import LogSettings, set_up

    set_up(process, read_settings(LogSettings))
