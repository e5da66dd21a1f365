"""Results that travel with the book: numbers of trainings whose weights do not."""

import json
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..config import Config, differences
from ..milestones import Curve
from .folders import book_folder
from .saved import RunError

T = TypeVar("T")


def results_folder() -> Path | None:
    """Of stored results: ``$MIIII_RESULTS``, or ``book/results``; None outside the book."""
    if "MIIII_RESULTS" in os.environ:
        return Path(os.environ["MIIII_RESULTS"])
    home = book_folder()
    return home / "book" / "results" if home else None


def find_results(name: str) -> Path | None:
    """A file of stored results; None where it is not, as outside the book."""
    root = results_folder()
    path = root / name if root else None
    return path if path and path.is_file() else None


def same_recipe(config: Config, other: Config, free: Collection[str]) -> bool:
    """Whether two configurations differ in nothing but some fields, by which results may differ."""
    return all(field in free for field, _, _ in differences(config, other))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file that has one in each line; none if there is no file."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def curve_of(line: Mapping[str, Any]) -> Curve:
    """How the training came along that a line of trainings stores."""
    epochs, _, accuracy, *_ = zip(*line["curve"], strict=True)
    return Curve(np.array(epochs, int), np.array(accuracy, float))


def read_results(path: Path | None, parse: Callable[[Path], list[T]]) -> list[T]:
    """What a file of results holds; nothing where there is no file.

    Args:
        path: Of the file, such as from `find_results`.
        parse: Reads it.

    Raises:
        RunError: if it cannot be read; names the file.
    """
    if path is None:
        return []
    try:
        return parse(path)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {error!r}; restore it, or compute it again") from error
