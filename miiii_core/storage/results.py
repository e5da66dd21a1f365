"""Results that travel with the book: numbers of trainings whose weights do not."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .folders import book_folder
from .saved import RunError


def find_results(name: str) -> Path | None:
    """A file of ``book/results``; None where it is not, as outside the book."""
    home = book_folder()
    path = home / "book" / "results" / name if home else None
    return path if path and path.is_file() else None


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file that has one in each line; none if there is no file."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


@contextmanager
def refusing_damage(path: Path) -> Iterator[None]:
    """Inside it, what a file lacks or has wrongly is told by its name.

    Raises:
        RunError: in place of what reading raised.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {error!r}; restore it, or compute it again") from error
