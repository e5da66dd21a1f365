"""Folders of runs: where they are, whether one is free, and who writes to it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ..config import Config
from .files import is_leftover
from .saved import RunError, command, load


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


@contextmanager
def held(folder: Path, wait: bool = False) -> Iterator[None]:
    """Keep other processes out of a run's folder while this one writes to it.

    The lock lies beside the folder, so that it outlives a folder that is deleted.

    Raises:
        RunError: if another process holds it and this one is not to wait.
        OSError: if nothing can be written there.
    """
    lock = FileLock(folder.parent / f".{folder.name}.lock")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        mine = lock.acquire(timeout=0)
    except Timeout as error:
        if not wait:
            raise RunError(
                f"another process is training in {folder}; wait for it or stop it"
            ) from error
        print(f"waiting for the process that trains in {folder}", file=sys.stderr)
        mine = lock.acquire()
    except OSError as error:
        raise OSError(
            f"cannot write to {folder.parent}: {error.strerror}; choose another folder"
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
