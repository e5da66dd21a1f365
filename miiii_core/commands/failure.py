"""Failures that end a command with one line and an exit code."""


class Failure(Exception):
    """An expected failure: what to say, and how to exit."""

    def __init__(self, message: str, code: int):
        """Take both."""
        super().__init__(message)
        self.code = code


def missing(what: str, error: ModuleNotFoundError, extra: str) -> Failure:
    """What to say when an optional library is not there."""
    return Failure(
        f"{what} needs {error.name}, which is not installed; "
        f"install it with: pip install 'miiii-core[{extra}]'",
        1,
    )
