"""The chapters as their sources say they are: pages, code cells, parameters."""

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jupytext
from myst_nb.core.read import is_myst_markdown_notebook
from nbformat import NotebookNode
from sphinx_external_toc.parsing import parse_toc_yaml

from miiii_core.runs import book_folder

ALIKE = {float: (float, int), list: (list, tuple), tuple: (list, tuple)}  # what a default takes


@dataclass(frozen=True)
class Chapter:
    """A page that runs code."""

    page: str  #: Its name in the table of contents, such as ``book/model``
    path: Path  #: The MyST source
    source: str  #: Its text

    @property
    def name(self) -> str:
        """What a reader calls it: ``model``."""
        return self.path.stem

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """What its ``parameters`` cell assigns."""
        cells = self.notebook().cells
        tagged = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])]
        lines: list[Any] = ast.parse("\n".join(tagged)).body
        try:
            return {line.targets[0].id: ast.literal_eval(line.value) for line in lines}
        except (AttributeError, ValueError) as error:
            raise ValueError(
                f"parameters of {self.page} must be lines name = literal: {error}"
            ) from error

    def content(self) -> str:
        """Return what its page depends on; the rest Jupyter writes anew whenever it saves."""
        notebook = self.notebook()
        for name in ("jupytext", "kernelspec", "language_info"):
            notebook.metadata.pop(name, None)
        shown = ("tags", "mystnb")
        cells = [(c.cell_type, c.source, *map(c.metadata.get, shown)) for c in notebook.cells]
        return json.dumps([notebook.metadata, cells], sort_keys=True, default=str)

    def notebook(self) -> NotebookNode:
        """Return the source as notebook cells, without outputs."""
        return jupytext.reads(self.source, fmt="md:myst")


def find_root() -> Path:
    """Return the folder that holds the book; FileNotFoundError outside of one."""
    if root := book_folder():
        return root
    raise FileNotFoundError(
        f"no book at {Path.cwd()} or above it: a folder with a _toc.yml is needed; "
        "run this inside a clone of the repository"
    )


def read_pages(root: Path) -> tuple[str, ...]:
    """Return the names of all pages of the table of contents, in its order."""
    pages = tuple(page.removesuffix(".md") for page in parse_toc_yaml(root / "_toc.yml"))
    if missing := [page for page in pages if not (root / f"{page}.md").is_file()]:
        raise FileNotFoundError(f"_toc.yml names {missing}; write these pages, or take them out")
    return pages


def read_chapters(root: Path) -> tuple[Chapter, ...]:
    """Return all pages of the table of contents that run code, in its order."""
    paths = {page: root / f"{page}.md" for page in read_pages(root)}
    pages = [Chapter(page, path, path.read_text("utf-8")) for page, path in paths.items()]
    return tuple(page for page in pages if is_myst_markdown_notebook(page.source))


def parse_parameters(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``name=value`` pairs; a value that is no Python literal is a string."""
    parsed: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name.isidentifier():
            raise ValueError(f"parameter {pair!r} will not do; write it as name=value, like p=31")
        try:
            parsed[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            parsed[name] = text
    return parsed


def assigned(
    chapters: Sequence[Chapter], names: Sequence[str], parameters: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return what each chapter is given that differs from its own parameters.

    They are for the chapters named, or for all if none are, and each for those that have it.
    """
    if unknown := sorted(set(names) - {chapter.name for chapter in chapters}):
        known = ", ".join(chapter.name for chapter in chapters)
        raise ValueError(f"no chapter called {', '.join(unknown)}; chapters are {known}")
    chosen = [chapter for chapter in chapters if not names or chapter.name in names]
    for name, value in parameters.items():
        own = {c.name: c.defaults[name] for c in chosen if name in c.defaults}
        if not own:
            lines = [f"\n  {c.name}: {c.defaults}" for c in chosen if c.defaults]
            raise ValueError(f"unknown parameter {name!r}; accepted are{''.join(lines) or ' none'}")
        for chapter, default in own.items():
            kind = type(default)
            if default is not None and type(value) not in ALIKE.get(kind, (kind,)):
                raise ValueError(
                    f"parameter {name}={value!r} will not do; chapter {chapter} takes a value "
                    f"of type {kind.__name__}, such as its own {default!r}"
                )
    return [
        {n: v for n, v in parameters.items() if c in chosen and v != c.defaults.get(n, v)}
        for c in chapters
    ]


def names_runs(parameter: str) -> bool:
    """Return whether a parameter of this name names runs: ``run``, ``nanda_run``, ``runs``."""
    return parameter.rsplit("_", 1)[-1] in ("run", "runs")
