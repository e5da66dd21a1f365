"""Execute the chapters that are stale, through papermill, and keep the results."""

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError, strip_color
from tqdm import tqdm

from .. import runs
from ..config import fields
from ..storage.files import write_atomic
from ..storage.folders import anchor_folders, folder_named
from ..storage.results import results_folder
from ..storage.shipped import relatives
from .alt_text import AltTextError, told
from .chapters import (
    Chapter,
    changed,
    check_parameters,
    choose,
    named_runs,
    names_runs,
    read_chapters,
)

PACKAGE = Path(__file__).parent.parent
SOURCES = ("*.py", "*.css", "*.js")  # of this package: all that a chapter's outputs are made by
SECONDS = "execution_seconds"  # in the metadata of an executed chapter: what it took to run
KEPT_EXECUTIONS = 6  # per chapter, so that going back to earlier parameters costs nothing


class ChapterError(RuntimeError):
    """One or more chapters did not run to their end."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """A chapter with the parameters it is to run with.

    Attributes:
        chapter: the chapter.
        given: parameters that differ from the chapter's own.
        result: where the executed notebook is kept; its name is the digest of
            all that it depends on.
    """

    chapter: Chapter
    given: Mapping[str, Any]
    result: Path

    @property
    def stale(self) -> bool:
        """Whether it has yet to run."""
        return not self.result.is_file()


def folder_digest(folder: Path, pattern: str = "*", without: Path | None = None) -> str:
    """Digest of the names and contents of all files below a folder that match a pattern.

    Args:
        folder: where to look.
        pattern: of file names.
        without: a folder whose files do not count.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.rglob(pattern)):
        if path.is_file() and without not in path.parents:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def chapter_key(
    chapter: Chapter, given: Mapping[str, Any], package: str, read: Sequence[str]
) -> str:
    """Digest of all that an executed chapter depends on.

    Args:
        chapter: the chapter.
        given: parameters that replace its own.
        package: digest of this package's source.
        read: digests of the runs it reads.
    """
    parameters = {**chapter.defaults, **given}
    parts = json.dumps([chapter.source, parameters, package, list(read)], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def plan(
    root: Path,
    names: Sequence[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    run: str | None = None,
) -> tuple[Execution, ...]:
    """Say for every chapter what it runs with and where the result is kept.

    Runs that the parameters name are loaded, and trained if there are none yet.

    Args:
        root: folder of the book.
        names: chapters that the parameters are for; all if None. The others keep their own.
        parameters: values by name, each for the chapters that have it.
        run: value of ``run`` for the chapters that have it.

    Raises:
        ValueError: for an unknown chapter or parameter, or a value of the wrong kind; for a
            run's name that is a preset's and a folder's, or neither's.
    """
    chapters = read_chapters(root)
    chosen = choose(chapters, names)
    wanted = {**(parameters or {}), **({"run": run} if run else {})}
    wanted = {name: _from_anywhere(v) if names_runs(name) else v for name, v in wanted.items()}
    check_parameters(chosen, wanted)
    given = {c.page: changed(c, wanted if c in chosen else {}) for c in chapters}
    package, read = package_digest(), {}
    for chapter in chapters:
        with chdir(chapter.path.parent):  # where it runs
            read[chapter.page] = run_digests({**chapter.defaults, **given[chapter.page]})
    keys = {c.page: chapter_key(c, given[c.page], package, read[c.page]) for c in chapters}
    kept = root / "_run" / "executed"
    return tuple(
        Execution(chapter=c, given=given[c.page], result=kept / c.name / f"{keys[c.page]}.ipynb")
        for c in chapters
    )


def package_digest() -> str:
    """Digest of this package and of stored results: all chapters are stale when they change."""
    results = results_folder()
    code = "".join(folder_digest(PACKAGE, pattern) for pattern in SOURCES)
    return code + (folder_digest(results) if results else "")


def run_digests(parameters: Mapping[str, Any]) -> list[str]:
    """Digests of the runs that a chapter may read, which are trained if there are none yet.

    Other seeds of a run that are shipped beside it count, as a chapter may pool them.

    Parameters called ``run``, ``runs``, ``..._run`` or ``..._runs`` name them; those called like
    a field of the configuration, such as ``p`` or ``epochs``, are passed on as overrides.
    """
    overrides = {name: value for name, value in parameters.items() if name in fields()}
    named = [runs.cached(name, **overrides) for name in named_runs(parameters)]
    found = [run for first in named for run in (first, *relatives(first.config, "seed"))]
    return [folder_digest(run.folder) for run in found]


def execute_chapters(
    root: Path,
    names: Sequence[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    run: str | None = None,
) -> dict[str, Path]:
    """Execute the chapters that are stale, and say where every executed chapter is.

    Args:
        root: folder of the book.
        names: chapters that the parameters are for; all if None. The others keep their own.
        parameters: values by name, each for the chapters that have it.
        run: value of ``run`` for the chapters that have it.

    Returns:
        Page name to executed notebook, for all chapters.

    Raises:
        ValueError: for an unknown chapter or parameter, or a value of the wrong kind.
        ChapterError: when chapters fail, after the others have run and been kept.
    """
    # Chapters run in processes of their own; none may take all memory of a GPU for itself.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    anchor_folders()  # and each in a folder of its own
    executions = plan(root, names, parameters, run)
    stale = [execution for execution in executions if execution.stale]
    failures = []
    with tqdm(total=sum(map(_n_cells, stale)), unit="cell", disable=not stale) as bar:
        for execution in stale:
            bar.set_description(execution.chapter.name)
            try:
                keep(execution, execute(execution.chapter, execution.given, bar))
            except PapermillExecutionError as error:
                failures.append(_explain(execution.chapter, error))
            except AltTextError as error:
                failures.append(f"chapter {execution.chapter.name}: {error}")
    if failures:
        raise ChapterError("\n\n".join(failures))
    return {execution.chapter.page: execution.result for execution in executions}


def execute(chapter: Chapter, given: Mapping[str, Any], bar: tqdm | None = None) -> NotebookNode:
    """Run one chapter in its own folder and return it with its outputs, and what it took.

    Args:
        chapter: the chapter.
        given: parameters that replace its own.
        bar: progress bar to move on by one for each cell.

    Raises:
        PapermillExecutionError: when a cell raises.
        AltTextError: when an alternative text names a value that no cell glued.
    """

    def tick(**_: Any) -> None:
        if bar is not None:
            bar.update()

    executed = papermill.execute_notebook(
        chapter.notebook(),
        None,
        parameters=dict(given),
        kernel_name="python3",
        language="python",
        progress_bar=False,
        cwd=chapter.path.parent,
        on_cell_executed=tick,
        extra_arguments=[f"--log-level={logging.CRITICAL}"],  # cells' own errors still come back
    )
    clean = without_traces(told(executed))
    clean.metadata[SECONDS] = executed.metadata.papermill.duration
    return clean


def without_traces(notebook: NotebookNode) -> NotebookNode:
    """A copy without the times, paths and empty tags that an execution leaves behind.

    States of widgets go too: they are live in Jupyter only, and a page would carry them in vain.
    """
    clean = nbformat.from_dict(notebook)
    for name in ("papermill", "widgets"):
        clean.metadata.pop(name, None)
    for cell in clean.cells:
        for name in ("papermill", "execution"):
            cell.metadata.pop(name, None)
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]
    return clean


def keep(execution: Execution, executed: NotebookNode) -> None:
    """Write an executed chapter, whole or not at all, and drop the oldest of its kind."""
    folder = execution.result.parent
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(execution.result, nbformat.writes(executed).encode())
    by_age = sorted(folder.glob("*.ipynb"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in by_age[KEPT_EXECUTIONS:]:
        path.unlink()


def _from_anywhere(run: Any) -> Any:
    """A run's folder, or each of several, as an absolute path, because chapters run in their own.

    The name of a preset stays as it is, and so does what is no folder.
    """
    if isinstance(run, list | tuple):
        return [_from_anywhere(each) for each in run]
    folder = folder_named(run) if isinstance(run, str) else None
    return run if folder is None else str(folder.resolve())


def _n_cells(execution: Execution) -> int:
    """Code cells to run, with the one that papermill puts in for parameters."""
    own = sum(cell.cell_type == "code" for cell in execution.chapter.notebook().cells)
    return own + bool(execution.given)


def _explain(chapter: Chapter, error: PapermillExecutionError) -> str:
    """A failure that a reader can act on: where, in what code, and what was raised."""
    trace = strip_color("\n".join(error.traceback))
    return (
        f"chapter {chapter.name} ({chapter.path}) failed in code cell {error.exec_count}:\n\n"
        f"{error.source}\n\n{error.ename}: {error.evalue}\n\n{trace}"
    )
