"""The chapters as notebooks: in step with their sources, plain Markdown, ready for Colab."""

import io
import json
import re
import subprocess
from importlib import util
from pathlib import Path
from urllib import request

import nbformat
import pytest

from tools import notebooks
from tools.plain_markdown import find_places, plain

ROOT = Path(__file__).parent.parent
FRONT = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---
"""
ONE = (
    FRONT
    + """
# One and only

See {numref}`fig-a`, {numref}`fig-b` and {eq}`eq-x`, after {cite:t}`ada`.

```{code-cell} ipython3
---
tags: [hide-input]
mystnb:
  figure:
    name: fig-a
    caption: |
      What {doc}`two` says.
---
print("a figure")
```
"""
)
TWO = (
    FRONT
    + """
# Two

$$ x = 1. $$ (eq-x)

```{code-cell} ipython3
:tags: [parameters]
p = 7
```

```{code-cell} ipython3
:mystnb: {figure: {name: fig-b, caption: B.}}
1
```
"""
)
WORKS = """
@misc{ada, author = {Ada L{\\o}velace}, year = {1843}}
@misc{both, author = {Ada Lovelace and Charles Babbage}, year = {1844}}
@misc{many, author = {Boole, George and De Morgan, Augustus and Venn, John}, year = {1880}}
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A book of two chapters and a page without code, its notebooks written."""
    monkeypatch.setenv("MIIII_REPOSITORY", "")
    (tmp_path / "book").mkdir()
    for name, text in {"one": ONE, "two": TWO, "index": "# A book\n"}.items():
        (tmp_path / "book" / f"{name}.md").write_text(text)
    (tmp_path / "book" / "references.bib").write_text(WORKS)
    table = {"root": "book/index", "chapters": [{"file": "book/one"}, {"file": "book/two"}]}
    (tmp_path / "_toc.yml").write_text(json.dumps(table))
    notebooks.write(tmp_path)
    return tmp_path


def read(root, name):
    return nbformat.read(root / "notebooks" / f"{name}.ipynb", as_version=4)


def test_every_chapter_has_a_notebook_without_outputs(root):
    assert {path.name for path in (root / "notebooks").iterdir()} == {"one.ipynb", "two.ipynb"}
    for name in ("one", "two"):
        nbformat.validate(read(root, name))
        code = [cell for cell in read(root, name).cells if cell.cell_type == "code"]
        assert not any(cell.outputs or cell.execution_count for cell in code)


def test_cells_keep_code_tags_and_order_and_captions_follow_their_figures(root):
    note, setup, text, figure, caption = read(root, "one").cells
    assert "book/one.md" in note.source and "miiii_core" in setup.source
    assert text.source.startswith("# One and only")
    assert figure.source == 'print("a figure")' and figure.metadata == {"tags": ["hide-input"]}
    assert caption.source == "**Figure 1.** What [Two](two.ipynb) says."
    assert read(root, "two").cells[3].metadata.tags == ["parameters"]


def test_references_within_and_beyond_a_chapter(root):
    assert "See Figure 1, Figure 1 of [Two](two.ipynb) and (1) of [Two]" in str(read(root, "one"))
    assert "$$ x = 1. \\tag*{(1)} $$" in read(root, "two").cells[2].source


def test_notebooks_just_written_are_in_step(root):
    assert notebooks.out_of_step(root) == []
    before = [path.read_bytes() for path in sorted((root / "notebooks").iterdir())]
    notebooks.write(root)
    assert before == [path.read_bytes() for path in sorted((root / "notebooks").iterdir())]


def test_a_changed_chapter_is_found(root):
    (root / "book" / "two.md").write_text(TWO.replace("p = 7", "p = 11"))
    assert notebooks.out_of_step(root) == ["two.ipynb"]


def test_a_new_title_reaches_the_notebooks_that_name_it(root):
    (root / "book" / "two.md").write_text(TWO.replace("# Two", "# Twice"))
    assert notebooks.out_of_step(root) == ["one.ipynb", "two.ipynb"]


def test_an_edited_a_missing_and_a_stray_notebook_are_found(root):
    folder = root / "notebooks"
    (folder / "one.ipynb").write_text((folder / "one.ipynb").read_text().replace("only", "lonely"))
    (folder / "two.ipynb").rename(folder / "three.ipynb")
    assert notebooks.out_of_step(root) == ["one.ipynb", "three.ipynb", "two.ipynb"]
    notebooks.write(root)
    assert notebooks.out_of_step(root) == [] and not (folder / "three.ipynb").exists()


def test_the_check_says_what_to_run(root, monkeypatch, capsys):
    monkeypatch.setattr(notebooks, "__file__", str(root / "tools" / "notebooks.py"))
    monkeypatch.setattr(notebooks.sys, "argv", ["notebooks", "--check"])
    assert notebooks.main() == 0
    (root / "book" / "two.md").write_text(TWO.replace("p = 7", "p = 11"))
    assert notebooks.main() == 1
    assert "two.ipynb; run: make notebooks" in capsys.readouterr().out
    monkeypatch.setattr(notebooks.sys, "argv", ["notebooks"])
    assert notebooks.main() == 0 and notebooks.out_of_step(root) == []


def test_the_address_is_the_clones_and_stays_where_a_clone_knows_none(root, monkeypatch):
    assert 'repository = ""' in read(root, "one").cells[1].source
    monkeypatch.setenv("MIIII_REPOSITORY", "ada/engine")
    notebooks.write(root)
    assert 'repository = "https://github.com/ada/engine"' in read(root, "one").cells[1].source
    for elsewhere in ("", "someone/fork"):
        monkeypatch.setenv("MIIII_REPOSITORY", elsewhere)
        assert notebooks.out_of_step(root) == []
    monkeypatch.setenv("MIIII_REPOSITORY", "")
    notebooks.write(root)
    assert "ada/engine" in read(root, "one").cells[1].source


@pytest.fixture
def places(tmp_path):
    (tmp_path / "works.bib").write_text(WORKS)
    return find_places({"here": "# Here\n", "there": "# There\n"}, {}, tmp_path / "works.bib")


@pytest.mark.parametrize(
    ("myst", "markdown"),
    [
        ("{cite:t}`ada` and {cite}`both,many`",
         "Løvelace (1843) and (Lovelace and Babbage 1844; Boole et al. 1880)"),
        ("at {glue:text}`mean:.2f` nats", "at `mean` nats"),
        ("see {doc}`there`", "see [There](../book/there.md)"),
        ("{doc}`elsewhere <there>`, {ref}`on\na GPU <sec-gpu>`", "elsewhere, on a GPU"),
        ("a {term}`logit`, {math}`x^2` and $y$", "a logit, $x^2$ and $y$"),
        ("{numref}`tab-unknown`", "`tab-unknown`"),
        ("(sec-gpu)=\n## On a GPU", "## On a GPU"),
        ("```{exercise} Why?\n:label: ex\n\nSay `why`.\n```", "**Exercise: Why?**\n\nSay `why`."),
        ("````{solution} ex\n:class: dropdown\n\n```python\n1\n```\n\nSo.\n````",
         "<details>\n<summary>Solution</summary>\n\n```python\n1\n```\n\nSo.\n\n</details>"),
        ("```{note}\nOne.\n\nTwo.\n```", "> **Note**\n>\n> One.\n>\n> Two."),
        (":::{admonition} Mind\n:class: tip\nOne.\n:::\nB", "> **Mind**\n>\n> One.\nB"),
        ("```sh\nmiiii book\n```\n\n| a | b |\n|---|---|", None),
        ("$$ x \\quad (y) $$ and `$$ (z)` as $f(x)$", None),
    ],
)  # fmt: skip
def test_what_only_myst_knows_becomes_plain(places, myst, markdown):
    assert plain(myst, "here", places) == (myst if markdown is None else markdown)


def test_nothing_of_the_book_stays_that_only_myst_knows():
    texts = notebooks.pairs(ROOT)
    assert len(texts) > 10
    for path, text in texts.items():
        cells = nbformat.reads(text, as_version=4).cells
        prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        assert not re.findall(r"\{[a-z:]+\}`+[^`]|^`{3,}\{.*|^:{3,}.*", prose, re.M), path.name


class Machine:
    """A machine on which the first cell runs: what it is asked for, with no package installed."""

    def __init__(self, monkeypatch, folder):
        self.commands, self.asked = [], []
        monkeypatch.chdir(folder)
        monkeypatch.delenv("COLAB_JUPYTER_IP", raising=False)
        monkeypatch.setattr(util, "find_spec", lambda name: None)
        monkeypatch.setattr(subprocess, "run", self.run)
        self.folder = folder

    def run(self, command, check):
        assert check
        self.commands.append(command)
        if command[0] == "git":
            (self.folder / "miiii" / "notebooks").mkdir(parents=True)

    def sessions(self, monkeypatch, path):
        def urlopen(address):
            self.asked.append(address)
            return io.BytesIO(json.dumps([{"path": path}]).encode())

        monkeypatch.setenv("COLAB_JUPYTER_IP", "172.28.0.12")
        monkeypatch.setattr(request, "urlopen", urlopen)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    return Machine(monkeypatch, tmp_path)


def first_cell(address=""):
    exec(notebooks.SETUP.format(address=address), {})


def test_the_first_cell_does_nothing_where_the_package_is(machine, monkeypatch):
    monkeypatch.setattr(util, "find_spec", lambda name: object())
    first_cell("https://github.com/ada/engine")
    assert machine.commands == [] and Path.cwd() == machine.folder


def test_the_first_cell_fetches_and_installs(machine):
    first_cell("https://github.com/ada/engine")
    clone, install = machine.commands
    assert clone[-2:] == ["https://github.com/ada/engine", "miiii"]
    assert install[-2:] == ["./miiii[search]", "myst-nb"]
    assert Path.cwd() == machine.folder / "miiii" / "notebooks"


def test_the_first_cell_fetches_once(machine):
    (machine.folder / "miiii" / "notebooks").mkdir(parents=True)
    first_cell("https://github.com/ada/engine")
    assert [command[0] for command in machine.commands] != ["git"]
    assert len(machine.commands) == 1 and Path.cwd().name == "notebooks"


@pytest.mark.parametrize("path", [
    "fileId=https%3A%2F%2Fgithub.com%2Fada%2Fengine%2Fblob%2Fmain%2Fnotebooks%2Fone.ipynb",
    "fileId=https%3A//github.com/ada/engine/blob/main/notebooks/one.ipynb",
])  # fmt: skip
def test_on_colab_the_first_cell_asks_where_it_comes_from(machine, monkeypatch, path):
    machine.sessions(monkeypatch, path)
    first_cell()
    assert machine.asked == ["http://172.28.0.12:9000/api/sessions"]
    assert machine.commands[0][-2] == "https://github.com/ada/engine"


def test_with_no_address_the_first_cell_says_what_to_do(machine, monkeypatch):
    with pytest.raises(RuntimeError, match="write the address"):
        first_cell()
    machine.sessions(monkeypatch, "fileId=1aBcD")  # a copy in a drive
    with pytest.raises(RuntimeError, match="make install"):
        first_cell()
    assert machine.commands == []
