"""The chapters as their sources say they are: pages, code cells, parameters."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import yaml
from myst_nb.core.read import is_myst_markdown_notebook
from nbformat import NotebookNode


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A page that runs code.

    Attributes:
        page: Name of the page in the table of contents, such as ``book/model``.
        path: The MyST source.
        source: Its text.
        defaults: What its ``parameters`` cell assigns.
    """

    page: str
    path: Path
    source: str
    defaults: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What a reader calls it: ``model``."""
        return self.path.stem

    def notebook(self) -> NotebookNode:
        """Return the source as notebook cells, without outputs."""
        return jupytext.reads(self.source, fmt="md:myst")


def find_root(start: Path | None = None) -> Path:
    """Return the folder that holds the book: the current one, or the nearest above it.

    Raises:
        FileNotFoundError: if none has a ``_toc.yml`` and a ``_config.yml``.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "_toc.yml").is_file() and (folder / "_config.yml").is_file():
            return folder
    raise FileNotFoundError(
        f"no book at {start} or above it: a folder with _toc.yml and _config.yml is needed; "
        "run this inside a clone of the repository"
    )


def read_pages(root: Path) -> tuple[str, ...]:
    """Return the names of all pages of the table of contents, in its order.

    Raises:
        FileNotFoundError: for a page that the table names and that does not exist.
    """
    pages = tuple(_pages(yaml.safe_load((root / "_toc.yml").read_text())))
    if missing := [page for page in pages if not (root / f"{page}.md").is_file()]:
        raise FileNotFoundError(
            f"_toc.yml in {root} names pages that do not exist: {', '.join(missing)}; "
            "write them as .md files or take them out of the table"
        )
    return pages


def read_chapters(root: Path) -> tuple[Chapter, ...]:
    """Return all pages of the table of contents that run code, in its order.

    Raises:
        FileNotFoundError: for a page that the table names and that does not exist.
        ValueError: for a ``parameters`` cell that holds more than ``name = literal``.
    """
    sources = {page: (root / f"{page}.md").read_text() for page in read_pages(root)}
    return tuple(
        Chapter(page=page, path=root / f"{page}.md", source=text, defaults=_defaults(page, text))
        for page, text in sources.items()
        if is_myst_markdown_notebook(text)
    )


def choose(chapters: Sequence[Chapter], names: Sequence[str]) -> tuple[Chapter, ...]:
    """Return the chapters of these names, or all if there are none.

    Raises:
        ValueError: for a name that is no chapter's.
    """
    known = {chapter.name: chapter for chapter in chapters}
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(f"no chapter called {', '.join(unknown)}; chapters are {', '.join(known)}")
    return tuple(known[name] for name in names) or tuple(chapters)


def parse_parameters(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``name=value`` pairs; a value that is no Python literal is a string.

    Raises:
        ValueError: for a pair without ``=`` or without a name.
    """
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


def check_parameters(chapters: Sequence[Chapter], parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that no chapter has, and values of another kind than the default.

    Raises:
        ValueError: naming what was given and, chapter by chapter, what is accepted.
    """
    for name, value in parameters.items():
        holders = [chapter for chapter in chapters if name in chapter.defaults]
        if not holders:
            raise ValueError(f"unknown parameter {name!r}; accepted are\n{_accepted(chapters)}")
        for chapter in holders:
            default = chapter.defaults[name]
            if not _same_kind(value, default):
                raise ValueError(
                    f"parameter {name}={value!r} will not do; chapter {chapter.name} takes "
                    f"a value of type {type(default).__name__}, such as its own {default!r}"
                )


def changed(chapter: Chapter, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the parameters that a chapter has, where they differ from its own."""
    own = chapter.defaults
    return {name: v for name, v in parameters.items() if name in own and v != own[name]}


def names_runs(parameter: str) -> bool:
    """Return whether a parameter of this name names runs: ``run``, ``nanda_run``, ``runs``."""
    return parameter.rsplit("_", 1)[-1] in ("run", "runs")


def named_runs(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the presets and folders that parameters name as runs, each once."""
    values = [value for name, value in parameters.items() if names_runs(name) and value]
    lists = [[value] if isinstance(value, str) else value for value in values]
    return tuple(dict.fromkeys(name for names in lists for name in names))


def _pages(entry: Any) -> Iterator[str]:
    """Yield the pages of a table of contents, or of one entry of it, in reading order."""
    if isinstance(entry, dict):
        for key, value in entry.items():
            if key in ("root", "file"):
                yield value.removesuffix(".md")
            elif key in ("parts", "chapters", "sections"):
                yield from _pages(value)
    elif isinstance(entry, list):
        for item in entry:
            yield from _pages(item)


def _defaults(page: str, source: str) -> dict[str, Any]:
    cells = jupytext.reads(source, fmt="md:myst").cells
    tagged = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assigned = {}
    for line in ast.parse("\n".join(tagged)).body:
        try:
            if not isinstance(line, ast.Assign) or not isinstance(line.targets[0], ast.Name):
                raise ValueError
            assigned[line.targets[0].id] = ast.literal_eval(line.value)
        except ValueError as error:
            raise ValueError(
                f"the parameters cell of {page} holds {ast.unparse(line)!r}; it takes only lines "
                "of the form name = literal, so that a reader can set each from outside"
            ) from error
    return assigned


def _accepted(chapters: Sequence[Chapter]) -> str:
    lines = [
        f"  {chapter.name}: " + ", ".join(f"{k}={v!r}" for k, v in chapter.defaults.items())
        for chapter in chapters
        if chapter.defaults
    ]
    return "\n".join(lines) or "  none: no chosen chapter has parameters"


def _same_kind(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return default is None or type(value) is type(default)
    for kind in ((int, float), (list, tuple)):
        if type(default) in kind[1:]:
            return isinstance(value, kind)
    return default is None or isinstance(value, type(default))
