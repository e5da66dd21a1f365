"""Execute the chapters that are stale, two at a time, and keep the results."""

import ast
import hashlib
import json
import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import click
import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_event_loop
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from miiii_core import runs
from miiii_core.config import fields
from miiii_core.files import write_atomic
from miiii_core.presets import PRESETS

from . import kernel, page
from .chapters import Chapter, assigned, names_runs, read_chapters

PACKAGES = Path(__file__).parent.parent
GLUED = "application/papermill.record/text/plain"  # where `glue(..., display=False)` puts a value
KEPT_EXECUTIONS = 6  # of a chapter, so that going back to earlier parameters costs nothing
LIBRARIES = "jax jaxlib numpy scipy equinox optax optuna matplotlib pillow tabulate myst-nb".split()


class BuildError(click.ClickException):
    """Chapters did not run to their end, or Sphinx had something to complain about."""


class FigureError(ValueError):
    """A figure lacks its picture, or its alternative text a value that it names."""


class Execution(NamedTuple):
    """A chapter, parameters that differ from its own, and where its executed notebook is kept."""

    chapter: Chapter
    given: Mapping[str, Any]
    result: Path


def digest_of(value: Any, files: Iterable[Path]) -> str:
    """Return a digest of a value that JSON can hold, and of the places and contents of files."""
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode())
    for path in sorted({path for path in files if path.is_file()}):
        digest.update(os.fsencode(path) + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def plan(root: Path, names: Sequence[str], parameters: Mapping[str, Any]) -> list[Execution]:
    """Say for every chapter what it runs with and where the result is kept.

    Runs that are neither shipped nor trained yet are trained. Arguments are those of `assigned`.
    """
    chapters = read_chapters(root)
    wanted = {n: _from_anywhere(v) if names_runs(n) else v for n, v in parameters.items()}
    tools = [sys.version_info[:2], os.environ.get("XLA_FLAGS"), *map(version, LIBRARIES)]
    shelf = runs.shipped_root() or root
    # Any chapter may read nearly all of it: `page` asks the ledger, which measures anything.
    code = [
        path for ending in ("py", "toml", "ttf") for path in PACKAGES.glob(f"miiii_*/**/*.{ending}")
    ]
    common = [*code, *(shelf.parent / "results").rglob("*"), *shelf.glob("*/run.json")]
    executions = []
    for chapter, given in zip(chapters, assigned(chapters, names, wanted), strict=True):
        both = {**chapter.defaults, **given}
        name = digest_of([chapter.content(), both, tools], [*common, *_run_files(both, shelf)])[:16]
        result = root / "_run" / "executed" / chapter.name / f"{name}.ipynb"
        executions.append(Execution(chapter, given, result))
    return executions


def execute_stale(executions: Sequence[Execution]) -> dict[str, Path]:
    """Execute what is stale; return where the executed notebook of every page is.

    BuildError when chapters fail, after the others have run and been kept.
    """
    stale = [execution for execution in executions if not execution.result.is_file()]
    kernels: list[AsyncKernelManager] = []
    failures = []
    with ThreadPoolExecutor(2) as pool:
        jobs = {pool.submit(execute, each.chapter, each.given, kernels): each for each in stale}
        try:
            for count, job in enumerate(as_completed(jobs), start=1):
                chapter = jobs[job].chapter
                print(f"chapter {count} of {len(stale)}: {chapter.name}", file=sys.stderr)
                try:
                    _keep(jobs[job].result, job.result())
                except (PapermillExecutionError, RuntimeError, FigureError) as error:
                    failures.append(f"chapter {chapter.name} ({chapter.path}): {error}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for each in kernels:
                if process := getattr(each.provisioner, "process", None):
                    process.kill()
            raise
    if failures:
        raise BuildError("\n\n".join(failures))
    return {execution.chapter.page: execution.result for execution in executions}


def execute(
    chapter: Chapter, given: Mapping[str, Any], kernels: list[AsyncKernelManager]
) -> NotebookNode:
    """Run a chapter in its folder, by the Python that runs this; return it with its outputs.

    The kernel joins the list before it starts. With parameters given, a figure may be empty.
    """
    profile = TemporaryDirectory(ignore_cleanup_errors=True)

    class Kernel(AsyncKernelManager):
        kernel_spec = KernelSpec(argv=kernel.COMMAND)
        transport = "ipc"

        async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]
            kernels.append(self)
            self.ip = f"{profile.name}/kernel"  # a port could be taken before the kernel has it
            await super().start_kernel(**options, env=kernel.environment(profile.name))

    try:
        executed = papermill.execute_notebook(
            chapter.notebook(), None, dict(given), kernel_name="python3", language="python",
            progress_bar=False, kernel_manager_class=Kernel,
            resources={"metadata": {"path": str(chapter.path.parent)}},  # cwd= moves all threads
            extra_arguments=[f"--log-level={logging.CRITICAL}"],  # cells' own errors come back
        )  # fmt: skip
    finally:
        ensure_event_loop().close()  # one was opened for this thread
        profile.cleanup()
    if not given:
        check_pictures(executed)
    fill(executed)
    for cell in executed.cells:
        if page.MARK in str(cell.get("outputs")):  # of a cell that is hidden, show the banner
            cell.metadata.tags = ["remove-input"]
    for part in (executed, *executed.cells):  # no times, paths, or widgets, live in Jupyter only
        for name in ("papermill", "execution", "widgets"):
            part.metadata.pop(name, None)
    return executed


def fill(notebook: NotebookNode) -> None:
    """Put glued values into the alternative texts of a notebook, which have them in braces."""
    values = {
        output.metadata["scrapbook"]["name"]: _read(output.data[GLUED])
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if GLUED in output.get("data", {})
    }
    for cell in notebook.cells:
        image = cell.metadata.get("mystnb", {}).get("image", {})
        text = image.get("alt", "")
        try:
            image["alt"] = text.format_map(values)
        except LookupError as error:
            raise FigureError(f"the alt text {text!r} names {error}, which nothing glues") from None
        except ValueError as error:
            raise FigureError(f"the alt text {text!r} will not do: {error}") from error


def check_pictures(notebook: NotebookNode) -> None:
    """Raise a FigureError if the cell of a figure has drawn nothing."""
    for cell in notebook.cells:
        figure = cell.metadata.get("mystnb", {}).get("figure")
        kinds = [kind for output in cell.get("outputs", ()) for kind in output.get("data", ())]
        if figure and not any(kind.startswith("image/") for kind in kinds):
            shown = ", ".join(kinds) or "nothing"
            raise FigureError(f"{figure['name']} shows {shown}; its cell must end with a figure")


def _run_files(parameters: Mapping[str, Any], shelf: Path) -> Iterable[Path]:
    """Yield the descriptions of the runs that parameters name, trained where they must be."""
    overrides = {n: v for n, v in parameters.items() if n in fields() and v is not None}
    for value in (parameters[name] for name in filter(names_runs, parameters)):
        for run in [value] if isinstance(value, str) else value:
            shipped = not overrides and (shelf / run / "run.json").is_file()
            yield (shelf / run if shipped else runs.cached(run, **overrides).folder) / "run.json"


def _from_anywhere(run: Any) -> Any:
    """Return folders of runs as absolute paths, as chapters run in their own; presets as named."""
    if isinstance(run, list | tuple):
        return [_from_anywhere(each) for each in run]
    named = str(run)
    is_folder = named not in PRESETS and Path(named, "run.json").is_file()
    return str(Path(named).resolve()) if is_folder else named


def _keep(result: Path, executed: NotebookNode) -> None:
    """Write an executed chapter, whole or not at all, and drop the oldest of its kind."""
    result.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(result, nbformat.writes(executed).encode())
    by_age = sorted(result.parent.glob("*.ipynb"), key=lambda path: -path.stat().st_mtime)
    for path in by_age[KEPT_EXECUTIONS:]:
        path.unlink()


def _read(written: str) -> Any:
    """Return a value as Python writes it; nan and inf, which are no literals, too."""
    return float(written) if written in ("nan", "inf", "-inf") else ast.literal_eval(written)
