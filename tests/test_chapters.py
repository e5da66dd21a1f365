"""The book as its readers meet it: what each page may hold, and what none may lack."""

import re

import jupytext
import pytest
import yaml
from tiny_book import REPOSITORY

# Words of prose and captions, figures, tables: the most that a page of the story may have.
LIMITS = {
    "index": (400, 1, 0), "periods": (1400, 4, 2), "tasks": (1000, 3, 2), "model": (1000, 2, 1),
    "training": (2000, 5, 2), "embeddings": (1400, 4, 1), "neurons": (2200, 6, 1),
    "attention": (800, 3, 1), "ablations": (1800, 5, 1), "grokking": (1500, 4, 2),
    "replication": (1000, 1, 4), "questions": (1000, 3, 1),
}  # fmt: skip
STORY, APPENDICES = (16_000, 40, 20), 8_000
TABLE = yaml.safe_load((REPOSITORY / "_toc.yml").read_text())
# What is no prose: metadata, code, formulas, fences and options of directives, labels, roles.
NO_PROSE = re.compile(
    r"^---.*?^---$|^```(?:sh|python|haskell)\n.*?^```$|^ {4}\S[^\n]*$|\$\$.*?\$\$|^[`:]{3,}[^\n]*$"
    r"|^:[\w-]+:[^\n]*$|^\([\w-]+\)=$",
    re.S | re.M,
)
ATOM = re.compile(r"\{[\w:-]+\}`[^`]*`|\$[^$]+\$")


def words(text):
    return len(re.findall(r"\w[\w’'.,%-]*", ATOM.sub("x", NO_PROSE.sub("", text))))


def measured(name):
    """How many words of prose and captions, figures and tables a page has."""
    text, found = (REPOSITORY / "book" / f"{name}.md").read_text(), [0, 0, 0]
    for cell in jupytext.reads(text, fmt="md:myst").cells:
        figure = cell.metadata.get("mystnb", {}).get("figure")
        if cell.cell_type == "markdown":
            found[0] += words(cell.source)
            found[1] += len(re.findall(r"^```\{figure\}", cell.source, re.M))
            found[2] += len(re.findall(r"^\|[-| ]+\|$", cell.source, re.M))
        elif figure:
            found[0] += words(figure["caption"])
            found[1] += 1
        else:
            found[2] += bool(re.search(r"^(figures\.)?table\(|^(paper|ours)$", cell.source, re.M))
    return tuple(found)


def part(caption):
    (found,) = (each for each in TABLE["parts"] if each["caption"] == caption)
    return [entry["file"].removeprefix("book/") for entry in found["chapters"]]


def test_the_story_is_no_longer_than_a_reader_takes():
    assert part("The story") == list(LIMITS)[1:]
    found = {name: measured(name) for name in LIMITS}
    longer = {name: n for name, n in found.items() if any(map(int.__gt__, n, LIMITS[name]))}
    assert not longer, f"words, figures, tables of pages that are too long: {longer}"
    whole = [sum(each) for each in zip(*found.values(), strict=True)]
    assert all(map(int.__le__, whole, STORY)), whole
    assert sum(measured(name)[0] for name in part("Appendices")) <= APPENDICES


def test_every_figure_and_table_of_the_paper_is_drawn_again():
    text = (REPOSITORY / "book" / "figures.md").read_text()
    assert re.findall(r"name: fig-paper-(\d+)", text) == [str(n) for n in range(1, 19)]
    assert {f"Table {n}" for n in (1, 2, 3)} <= set(re.findall(r"Table \d", text))


@pytest.mark.parametrize("name", LIMITS)
def test_a_page_opens_with_a_question_an_answer_and_a_picture(name):
    text = (REPOSITORY / "book" / f"{name}.md").read_text()
    opening = text[text.index("\n# ") :].split("\n## ")[0]
    prose = [p for p in NO_PROSE.sub("", opening).split("\n\n") if p.strip()]
    assert prose[1].strip().endswith("?"), "the first sentence is no question"
    assert re.search(r"mystnb:\n  figure:|```\{figure\}|```\{microscope\}", opening)


def test_each_page_of_the_story_has_one_exercise_with_its_solution():
    for name in LIMITS:
        text = (REPOSITORY / "book" / f"{name}.md").read_text()
        labels = re.findall(r"^```\{exercise\}[^\n]*\n:label: (\S+)", text, re.M)
        assert re.findall(r"^````\{solution\} (\S+)", text, re.M) == labels, name
        assert len(labels) == 1, name
