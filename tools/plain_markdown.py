"""MyST as Markdown that any notebook shows: Colab and GitHub know neither roles nor directives.

Formulas, tables, links and code stay as they are. A reference becomes the number that its target
has within its chapter, a citation names and year; exercises and notes become bold text and quotes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode
from pybtex.database import Entry, parse_file
from pybtex.richtext import Text

ROLE = re.compile(r"\{(?P<role>[\w:]+)\}(?P<ticks>`+)(?P<content>.+?)(?P=ticks)", re.S)
TITLED = re.compile(r"(?P<title>.+?)\s*<(?P<target>.+)>")
EQUATION = re.compile(r"\s*\$\$[ \t]*\((?P<label>[\w-]+)\)$", re.M)
TARGET = re.compile(r"^\([\w-]+\)=\n", re.M)
DIRECTIVE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{(?P<name>[\w:-]+)\}[ \t]*(?P<title>[^\n]*)\n"
    r"(?::[\w-]+:[^\n]*\n)*\n*(?P<body>.*?)\n*^(?P=fence)$",
    re.M | re.S,
)


@dataclass(frozen=True)
class Places:
    """What the references of all chapters lead to."""

    titles: Mapping[str, str]  #: Titles of pages, by name
    files: Mapping[str, str]  #: Where a page is found from the folder of the notebooks, by name
    numbers: Mapping[str, tuple[str, str]]  #: Page and `Figure 2` or `(2)`, by label
    works: Mapping[str, Entry]  #: Entries of the bibliography, by key


def find_places(
    sources: Mapping[str, str], notebooks: Mapping[str, NotebookNode], bibliography: Path
) -> Places:
    """Number the figures and equations of all chapters, each chapter from 1.

    Args:
        sources: Texts of all pages, by name.
        notebooks: Cells of those that run code, by name.
        bibliography: A BibTeX file.
    """
    numbers: dict[str, tuple[str, str]] = {}
    for name, notebook in notebooks.items():
        figures = [figure["name"] for cell in notebook.cells if (figure := figure_of(cell))]
        equations = EQUATION.findall(sources[name])
        numbers |= {label: (name, f"Figure {i}") for i, label in enumerate(figures, 1)}
        numbers |= {label: (name, f"({i})") for i, label in enumerate(equations, 1)}
    return Places(
        titles={name: _title(source) for name, source in sources.items()},
        files={n: f"{n}.ipynb" if n in notebooks else f"../book/{n}.md" for n in sources},
        numbers=numbers,
        works=parse_file(str(bibliography)).entries,
    )


def figure_of(cell: NotebookNode) -> Mapping[str, str]:
    """Return name and caption of the figure that a cell draws; nothing if it draws none."""
    return cell.metadata.get("mystnb", {}).get("figure", {})


def plain(text: str, page: str, places: Places) -> str:
    """Return a text of a page without what only MyST knows."""
    text = TARGET.sub("", DIRECTIVE.sub(_directive, text))
    text = EQUATION.sub(lambda found: f" \\tag*{{{places.numbers[found['label']][1]}}} $$", text)
    return ROLE.sub(lambda found: _role(found, page, places), text)


def _title(source: str) -> str:
    return re.findall(r"^# (.+)$", source, re.M)[0]


def _directive(found: re.Match[str]) -> str:
    name, title, body = found["name"], found["title"], found["body"]
    if name == "solution":
        return f"<details>\n<summary>Solution</summary>\n\n{body}\n\n</details>"
    if name == "exercise":
        return f"**Exercise: {title}**\n\n{body}"
    if name == "microscope":
        return "*(Here the site has a view of the network that can be touched.)*"
    quoted = "\n".join(f"> {line}".rstrip() for line in body.splitlines())
    return f"> **{title or name.capitalize()}**\n>\n{quoted}"


def _role(found: re.Match[str], page: str, places: Places) -> str:
    role, content = found["role"], " ".join(found["content"].split())
    titled = TITLED.fullmatch(content)
    match role:
        case "glue:text":
            return f"`{content.partition(':')[0]}`"
        case "math":
            return f"${content}$"
        case "cite" | "cite:p":
            return f"({'; '.join(' '.join(work) for work in _works(content, places))})"
        case "cite:t":
            return "; ".join(f"{names} ({year})" for names, year in _works(content, places))
        case "numref" | "eq":
            return _number(content, page, places)
        case "doc" if not titled:
            return _link(content, places)
    return titled["title"] if titled else content


def _link(page: str, places: Places) -> str:
    # A page that is made with the site, such as one of the API, is not there.
    return f"[{places.titles[page]}]({places.files[page]})" if page in places.files else f"`{page}`"


def _number(label: str, page: str, places: Places) -> str:
    home, number = places.numbers.get(label, (page, f"`{label}`"))
    return number if home == page else f"{number} of {_link(home, places)}"


def _works(keys: str, places: Places) -> list[tuple[str, str]]:
    """Return names and year of works, as citations name them."""
    entries = [places.works[key.strip()] for key in keys.split(",")]
    return [(_names(entry), entry.fields["year"]) for entry in entries]


def _names(entry: Entry) -> str:
    names = [str(Text.from_latex(" ".join(p.last_names))) for p in entry.persons["author"]]
    return " and ".join(names) if len(names) < 3 else f"{names[0]} et al."
