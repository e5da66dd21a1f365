"""Folders of runs: where they are, whether one is free, and who writes to it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from ..config import Config
from ..presets import PRESETS
from .files import is_leftover
from .saved import RunError, command, load

VARIABLES = ("MIIII_RUNS", "MIIII_SHIPPED", "MIIII_RESULTS")  # of the environment: folders
REPLACED = "replaced"  # folder among the runs for those that were trained anew


def book_folder() -> Path | None:
    """The nearest folder with the book's table of contents, from the working folder upwards."""
    here = Path.cwd()
    homes = [folder for folder in (here, *here.parents) if (folder / "_toc.yml").is_file()]
    return homes[0] if homes else None


def runs_root() -> Path:
    """The folder of cached runs: ``$MIIII_RUNS``, or ``_runs`` beside the book's table of contents.

    Outside the book it is ``_runs`` in the working folder.
    """
    if "MIIII_RUNS" in os.environ:
        return Path(os.environ["MIIII_RUNS"])
    return (book_folder() or Path.cwd()) / "_runs"


def anchor_folders() -> None:
    """Make folders that the environment names absolute, so that no change of folder moves them."""
    for name in VARIABLES:
        if name in os.environ:
            os.environ[name] = str(Path(os.environ[name]).absolute())


def folder_named(which: str | Path) -> Path | None:
    """The folder that a run is named by; None where the name may be a preset's.

    A path is always a folder; a text is one if there is such a folder and no such preset.

    Raises:
        ValueError: for a preset's name that is a run's folder too; says what to write.
    """
    folder = Path(which)
    if isinstance(which, Path):
        return folder
    if which not in PRESETS:
        return folder if folder.is_dir() else None
    if (folder / "run.json").is_file():
        raise ValueError(
            f"{which!r} is a preset, and the folder {folder.absolute()} holds a run: write "
            f"'./{which}' for the folder, or rename it and ask for the preset again"
        )
    return None


def place_among(root: Path, name: str, digest: str) -> Path:
    """The folder of a configuration in a folder of runs, whatever name it was given before.

    Args:
        root: Folder of runs.
        name: For one that is not there yet.
        digest: Of the configuration.
    """
    place = root / f"{name}-{digest}"
    return place if place.exists() else next(iter(sorted(root.glob(f"[!.]*-{digest}"))), place)


def set_aside(folder: Path) -> Path:
    """Move a run into ``replaced`` beside it, where no list of runs looks; returns its place."""
    beside = folder.parent / REPLACED
    beside.mkdir(exist_ok=True)
    numbered = (beside / f"{folder.name}-{n}" for n in count(1))
    return folder.rename(next(path for path in numbered if not path.exists()))


@contextmanager
def held(folder: Path, wait: bool = False) -> Iterator[None]:
    """Keep other processes out of a folder while this one writes to it.

    The lock lies beside the folder, so that it outlives a folder that is moved, and is the
    same whatever path leads there.

    Raises:
        RunError: if another process holds it and this one is not to wait.
        OSError: if nothing can be written there.
    """
    place = folder.resolve()
    lock = FileLock(place.parent / f".{place.name}.lock")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        mine = lock.acquire(timeout=0)
    except Timeout as error:
        if not wait:
            raise RunError(
                f"another process is writing to {folder}; wait for it or stop it"
            ) from error
        print(f"waiting for the process that writes to {folder}", file=sys.stderr)
        mine = lock.acquire()
    except OSError as error:
        raise OSError(
            f"cannot write to {place.parent}: {error.strerror}; choose another folder"
        ) from error
    with mine:
        yield


def refuse_occupied(folder: Path, config: Config) -> None:
    """Make sure that a new run may be trained into a folder.

    Raises:
        RunError: if it holds a run or anything else; says what to do.
    """
    if not folder.exists() or (folder.is_dir() and all(map(is_leftover, folder.iterdir()))):
        return
    if not (folder / "run.json").exists():
        raise RunError(f"{folder} is not empty and holds no run; choose a new or empty folder")
    run = load(folder)
    if run.config != config:
        raise RunError(
            f"{folder} holds another run (digest {run.config.digest}, not {config.digest}) "
            "and is never overwritten; choose another folder"
        )
    if run.finished:
        raise RunError(
            f"{folder} holds this run, finished at epoch {run.epoch}; "
            f"look at it with: {command('show', folder)}"
        )
    raise RunError(
        f"{folder} holds this run, stopped at epoch {run.epoch}; "
        f"go on with: {command('resume', folder)}"
    )
