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
    """One page that runs code.

    Attributes:
        page: page name as the table of contents has it, such as ``book/model``.
        path: the MyST source.
        source: its text.
        defaults: what its ``parameters`` cell assigns.
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
        """The source as notebook cells, without outputs."""
        return jupytext.reads(self.source, fmt="md:myst")


def find_root(start: Path | None = None) -> Path:
    """The folder that holds the book, looking upwards from a folder.

    Args:
        start: where to look first; the current folder if None.

    Raises:
        FileNotFoundError: when neither it nor any folder above has a ``_toc.yml``.
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
    """Names of all pages of the table of contents, in its order, such as ``book/model``.

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
    """All pages of the table of contents that run code, in its order.

    Raises:
        FileNotFoundError: for a page that the table names and that does not exist.
        ValueError: for a ``parameters`` cell that holds more than ``name = literal``.
    """
    sources = {page: (root / f"{page}.md").read_text() for page in read_pages(root)}
    return tuple(
        Chapter(
            page=page,
            path=root / f"{page}.md",
            source=source,
            defaults=_defaults(page, source),
        )
        for page, source in sources.items()
        if is_myst_markdown_notebook(source)
    )


def choose(chapters: Sequence[Chapter], names: Sequence[str] | None) -> tuple[Chapter, ...]:
    """The chapters of these names, or all.

    Raises:
        ValueError: for a name that is no chapter's.
    """
    known = {chapter.name: chapter for chapter in chapters}
    if unknown := sorted(set(names or ()) - set(known)):
        raise ValueError(f"no chapter called {', '.join(unknown)}; chapters are {', '.join(known)}")
    return tuple(known[name] for name in names) if names else tuple(chapters)


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
    """Those of the parameters that a chapter has, where they differ from its own."""
    own = chapter.defaults
    return {name: v for name, v in parameters.items() if name in own and v != own[name]}


def named_runs(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """The runs that parameters name: ``run``, ``runs``, ``..._run`` and ``..._runs``."""
    named: list[str] = []
    for name, value in parameters.items():
        if names_runs(name) and value:
            named += [value] if isinstance(value, str) else value
    return tuple(dict.fromkeys(named))


def names_runs(parameter: str) -> bool:
    """Whether a parameter of this name names runs."""
    return parameter.rsplit("_", 1)[-1] in ("run", "runs")


def _pages(entry: Any) -> Iterator[str]:
    """The pages of a table of contents, or of one entry of it, in reading order."""
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
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assigned = {}
    for statement in ast.parse("\n".join(cell.source for cell in tagged)).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                assigned[name] = _literal(page, value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                assigned[name] = _literal(page, value)
            case _:
                raise _not_literal(page, statement)
    return assigned


def _literal(page: str, value: ast.expr) -> Any:
    try:
        return ast.literal_eval(value)
    except ValueError as error:
        raise _not_literal(page, value) from error


def _not_literal(page: str, node: ast.AST) -> ValueError:
    return ValueError(
        f"the parameters cell of {page} holds {ast.unparse(node)!r}; it takes only lines of the "
        "form name = literal, so that a reader can set each from outside"
    )


def _accepted(chapters: Sequence[Chapter]) -> str:
    lines = [
        f"  {chapter.name}: " + ", ".join(f"{k}={v!r}" for k, v in chapter.defaults.items())
        for chapter in chapters
        if chapter.defaults
    ]
    return "\n".join(lines) or "  none: no chosen chapter has parameters"


def _same_kind(value: Any, default: Any) -> bool:
    if default is None:
        return True
    if isinstance(default, bool) or isinstance(value, bool):
        return type(value) is type(default)
    if isinstance(default, float):
        return isinstance(value, int | float)
    if isinstance(default, list | tuple):
        return isinstance(value, list | tuple)
    return isinstance(value, type(default))
