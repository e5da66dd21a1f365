"""The chapters: their parameters, what makes them stale, their execution, the site."""

import json
import os
import re
import shutil
import tomllib
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from filelock import FileLock
from papermill.exceptions import PapermillExecutionError

from miiii_core import claims
from miiii_core.publishing import book, chapters, site
from miiii_core.storage import files
from miiii_core.storage.folders import VARIABLES
from tools.check_site import check_site

REPOSITORY = Path(__file__).parents[1]
# What the real chapters run with here: long enough to record, too short to learn.
TINY = {"p": 13, "epochs": 24, "d_model": 16, "seed": 3}
FRONT = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---
"""
WAVES = (
    FRONT
    + """
# Waves

```{code-cell} ipython3
:tags: [parameters]
p = 7
run = "first"
scale = 1.0
```

The figure {numref}`fig-wave` has a wave for $p$ digits.

```{code-cell} ipython3
:mystnb: {figure: {name: fig-wave, caption: A wave.}, image: {alt: "a sine of period {period:03d}"}}
import matplotlib.pyplot as plt
import numpy as np

figure, axes = plt.subplots()
axes.plot(scale * np.sin(2 * np.pi * np.arange(p) / p));
```

```{code-cell} ipython3
from myst_nb import glue
glue("period", p, display=False)
```

```{code-cell} ipython3
print("p is", p)
```
"""
)
PLAIN = (
    FRONT
    + """
# Plain

```{code-cell} ipython3
:tags: [parameters]
p = 7
```

```{code-cell} ipython3
print(p**2)
```
"""
)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A book of two chapters and a page without code, with stand-ins for runs."""
    return set_up(tmp_path, monkeypatch)


def set_up(root, monkeypatch):
    write_book(root, waves=WAVES, plain=PLAIN, index="# A book\n\n{doc}`waves`\n")
    (root / "package").mkdir()
    (root / "package" / "spectral.py").touch()
    monkeypatch.setattr(book, "PACKAGE", root / "package")
    monkeypatch.setattr(book.runs, "cached", lambda name, **_: stand_in(root / name))
    monkeypatch.setattr(book, "relatives", lambda config, *fields: [])
    monkeypatch.setenv("MIIII_RESULTS", str(root / "results"))
    monkeypatch.chdir(root)
    return root


def write_book(root, **pages):
    (root / "book").mkdir()
    for name, text in pages.items():
        (root / "book" / f"{name}.md").write_text(text)
    (root / "_config.yml").write_text((REPOSITORY / "_config.yml").read_text())
    shutil.copy(REPOSITORY / "book" / "references.bib", root / "book")
    for folder in ("_static", "_ext"):
        shutil.copytree(REPOSITORY / "book" / folder, root / "book" / folder)
    entries = [{"file": f"book/{name}"} for name in pages if name != "index"]
    (root / "_toc.yml").write_text(
        json.dumps({"format": "jb-book", "root": "book/index", "chapters": entries})
    )


def stand_in(folder):
    folder.mkdir(exist_ok=True)
    if not (folder / "weights").exists():
        (folder / "weights").write_text("trained")
    return SimpleNamespace(folder=folder, config=folder.name)


def results(root, **options):
    return {e.chapter.name: e.result for e in book.plan(root, **options)}


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def test_only_pages_that_run_code_are_chapters(root):
    assert [chapter.name for chapter in chapters.read_chapters(root)] == ["waves", "plain"]


def test_defaults_come_from_the_parameters_cell(root):
    waves, plain = chapters.read_chapters(root)
    assert waves.defaults == {"p": 7, "run": "first", "scale": 1.0}
    assert plain.defaults == {"p": 7}


def test_sections_and_parts_of_the_table_are_read_in_order(root):
    table = {
        "root": "book/index",
        "parts": [{"chapters": [{"file": "book/plain", "sections": [{"file": "book/waves.md"}]}]}],
    }
    (root / "_toc.yml").write_text(json.dumps(table))
    assert [chapter.name for chapter in chapters.read_chapters(root)] == ["plain", "waves"]


def test_a_page_that_does_not_exist_is_named(root):
    (root / "book" / "plain.md").unlink()
    with pytest.raises(FileNotFoundError, match="book/plain"):
        chapters.read_chapters(root)


@pytest.mark.parametrize("line", ["p = 2 + x", "import os", "p += 1"])
def test_parameters_must_be_literals(root, line):
    path = root / "book" / "plain.md"
    path.write_text(PLAIN.replace("p = 7", line))
    with pytest.raises(ValueError, match="name = literal"):
        chapters.read_chapters(root)


def test_the_root_is_found_from_below_and_missed_outside(root, tmp_path_factory):
    assert chapters.find_root(root / "book") == root
    with pytest.raises(FileNotFoundError, match=r"_toc\.yml"):
        chapters.find_root(tmp_path_factory.mktemp("elsewhere"))


def test_values_are_read_as_literals_or_strings():
    parsed = chapters.parse_parameters(["p=31", "run=my-run", "x=0.5", "names=['a', 'b']"])
    assert parsed == {"p": 31, "run": "my-run", "x": 0.5, "names": ["a", "b"]}


@pytest.mark.parametrize("pair", ["p", "=3", "a b=3"])
def test_a_pair_that_is_none_is_refused(pair):
    with pytest.raises(ValueError, match="name=value"):
        chapters.parse_parameters([pair])


def test_an_unknown_parameter_lists_the_accepted_ones(root):
    with pytest.raises(ValueError, match="unknown parameter 'q'") as caught:
        book.plan(root, parameters={"q": 3})
    assert "waves: p=7, run='first', scale=1.0" in str(caught.value)
    assert "plain: p=7" in str(caught.value)


def test_a_parameter_of_another_chapter_is_unknown_to_the_chosen_one(root):
    with pytest.raises(ValueError, match="unknown parameter 'scale'"):
        book.plan(root, names=["plain"], parameters={"scale": 2.0})


@pytest.mark.parametrize("value", ["seven", 7.5, True, None])
def test_a_value_of_another_kind_is_refused(root, value):
    with pytest.raises(ValueError, match=r"p=.* takes a value of type int, such as its own 7"):
        book.plan(root, parameters={"p": value})


def test_whole_numbers_are_good_for_reals(root):
    assert book.plan(root, parameters={"scale": 2})[0].given == {"scale": 2}


def test_an_unknown_chapter_lists_the_chapters(root):
    with pytest.raises(ValueError, match="no chapter called tides; chapters are waves, plain"):
        book.plan(root, names=["tides"])


def test_parameters_go_to_the_chapters_that_have_them(root):
    waves, plain = book.plan(root, parameters={"p": 5, "scale": 3.0}, run="second")
    assert waves.given == {"p": 5, "scale": 3.0, "run": "second"}
    assert plain.given == {"p": 5}


def test_chapters_not_chosen_keep_their_own_parameters(root):
    waves, plain = book.plan(root, names=["plain"], parameters={"p": 5})
    assert waves.given == {} and plain.given == {"p": 5}


def test_giving_a_chapter_its_own_value_changes_nothing(root):
    assert results(root, parameters={"p": 7}) == results(root)


def test_a_run_is_a_folder_or_a_name(root):
    stand_in(root / "mine")
    assert book.plan(root, run="mine")[0].given["run"] == str(root / "mine")
    assert book.plan(root, run="miiii-small")[0].given["run"] == "miiii-small"
    assert book.plan(root, parameters={"run": "mine"}) == book.plan(root, run="mine")


def test_a_name_that_is_a_presets_and_a_folders_is_refused(root):
    (stand_in(root / "masked").folder / "run.json").touch()
    with pytest.raises(ValueError, match=r"'masked' is a preset, and the folder .* './masked' for"):
        book.plan(root, run="masked")
    assert book.plan(root, run="./masked")[0].given["run"] == str(root / "masked")


def test_runs_are_looked_for_from_where_the_chapters_run(root, monkeypatch):
    def cached(name, **_):
        found.append(Path.cwd())
        return stand_in(root / name)

    found = []
    monkeypatch.setattr(book.runs, "cached", cached)
    book.plan(root)
    assert found == [root / "book"]


@pytest.mark.parametrize("variable", VARIABLES)
def test_folders_that_the_environment_names_are_meant_from_here(root, monkeypatch, variable):
    def plan(*_):
        planned.append(os.environ[variable])
        return ()

    planned = []
    monkeypatch.setenv(variable, "mine")
    monkeypatch.setattr(book, "plan", plan)
    book.execute_chapters(root)
    assert planned == [str(root / "mine")]


def test_configuration_fields_are_passed_on_to_the_runs(root, monkeypatch):
    asked = []

    def cached(name, **overrides):
        asked.append((name, overrides))
        return stand_in(root / name)

    monkeypatch.setattr(book.runs, "cached", cached)
    book.plan(root, parameters={"p": 5})
    assert asked == [("first", {"p": 5})]


def test_runs_are_named_by_parameters_called_run():
    parameters = {"run": "a", "control_run": "b", "other_runs": ["c", "a"], "no_run": None, "p": 3}
    assert chapters.named_runs(parameters) == ("a", "b", "c")


def changed_results(root, change):
    before = results(root)
    change()
    after = results(root)
    return {name for name in before if before[name] != after[name]}


def test_nothing_changed_is_nothing_stale(root):
    assert changed_results(root, lambda: None) == set()


def test_a_changed_chapter_is_stale_alone(root):
    path = root / "book" / "plain.md"
    assert changed_results(root, lambda: path.write_text(PLAIN + "\nMore.\n")) == {"plain"}


def test_another_seed_beside_a_run_makes_those_stale_that_read_it(root, monkeypatch):
    def beside(config, *fields):
        return [stand_in(root / "seed")] if config == "first" else []

    def ship():
        monkeypatch.setattr(book, "relatives", beside)

    assert changed_results(root, ship) == {"waves"}


def test_a_changed_run_makes_those_stale_that_read_it(root):
    stand_in(root / "first")
    weights = root / "first" / "weights"
    assert changed_results(root, lambda: weights.write_text("others")) == {"waves"}


def test_changed_results_make_all_stale(root):
    path = root / "results" / "seeds.json"
    path.parent.mkdir()
    assert changed_results(root, lambda: path.write_text("one")) == {"waves", "plain"}
    assert changed_results(root, lambda: path.write_text("two")) == {"waves", "plain"}


@pytest.mark.parametrize("name", ["spectral.py", "explorer.js", "explorer.css"])
def test_a_changed_package_makes_all_stale(root, name):
    module = book.PACKAGE / name
    assert changed_results(root, lambda: module.write_text("changed")) == {"waves", "plain"}


def test_moving_bytes_between_files_changes_a_folder_digest(tmp_path):
    for name, texts in {"one": ("ab", "c"), "two": ("a", "bc")}.items():
        (tmp_path / name).mkdir()
        for number, text in enumerate(texts):
            (tmp_path / name / str(number)).write_text(text)
    assert book.folder_digest(tmp_path / "one") != book.folder_digest(tmp_path / "two")


def fake_execution(monkeypatch, calls=None):
    def execute(chapter, given, bar=None):
        if calls is not None:
            calls.append(chapter.name)
        return chapter.notebook()

    monkeypatch.setattr(book, "execute", execute)


def test_only_the_stale_are_executed(root, monkeypatch):
    calls = []
    fake_execution(monkeypatch, calls)
    book.execute_chapters(root)
    book.execute_chapters(root)
    assert calls == ["waves", "plain"]
    (root / "book" / "plain.md").write_text(PLAIN + "\nMore.\n")
    book.execute_chapters(root)
    assert calls == ["waves", "plain", "plain"]


def test_going_back_to_earlier_parameters_executes_nothing(root, monkeypatch):
    calls = []
    fake_execution(monkeypatch, calls)
    for p in (7, 5, 7):
        book.execute_chapters(root, parameters={"p": p})
    assert len(calls) == 4


def test_old_executions_are_dropped(root, monkeypatch):
    fake_execution(monkeypatch)
    for p in range(10, 20):
        book.execute_chapters(root, names=["plain"], parameters={"p": p})
    kept = list((root / "_run" / "executed" / "plain").iterdir())
    assert len(kept) == book.KEPT_EXECUTIONS
    assert results(root, names=["plain"], parameters={"p": 19})["plain"] in kept


def test_an_interrupted_write_leaves_the_old_result(root, monkeypatch):
    fake_execution(monkeypatch)
    execution = book.plan(root)[1]
    book.keep(execution, nbformat.v4.new_notebook(metadata={"which": "old"}))

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        book.keep(execution, nbformat.v4.new_notebook(metadata={"which": "new"}))
    assert [path.name for path in execution.result.parent.iterdir()] == [execution.result.name]
    assert nbformat.read(execution.result, as_version=4).metadata.which == "old"


def test_a_failing_chapter_is_explained_and_the_others_are_kept(root):
    broken = WAVES.replace('print("p is", p)', "answer = 1 / (p - 7)")
    (root / "book" / "waves.md").write_text(broken)
    with pytest.raises(book.ChapterError) as caught:
        book.execute_chapters(root)
    for part in ("chapter waves", "answer = 1 / (p - 7)", "ZeroDivisionError: division by zero"):
        assert part in str(caught.value)
    waves, plain = book.plan(root)
    assert waves.stale and not plain.stale


def test_a_chapter_runs_with_other_parameters_and_leaves_no_traces(root):
    waves = chapters.read_chapters(root)[0]
    executed = book.execute(waves, {"p": 11})
    assert "p is 11\n" in [output.get("text") for output in outputs(executed)]
    assert "papermill" not in executed.metadata
    assert 0 < executed.metadata[book.SECONDS] < 600
    assert not any({"papermill", "execution"} & set(cell.metadata) for cell in executed.cells)


def test_an_alt_text_says_what_was_found(root):
    (figure,) = (
        cell
        for cell in book.execute(chapters.read_chapters(root)[0], {"p": 11}).cells
        if "mystnb" in cell.metadata
    )
    assert figure.metadata.mystnb.image.alt == "a sine of period 011"


def test_the_chapter_whose_alt_text_cannot_be_filled_is_named_and_the_others_run(root):
    source = root / "book" / "waves.md"
    source.write_text(source.read_text().replace("{period:03d}", "{cycle}"))
    with pytest.raises(book.ChapterError, match="chapter waves: an alt text names 'cycle'"):
        book.execute_chapters(root)
    assert book.plan(root)[1].stale is False


def test_states_of_widgets_do_not_travel_to_the_page():
    metadata = {"widgets": {}, "kernelspec": {"name": "python3"}}
    live = nbformat.from_dict({"cells": [], "metadata": metadata})
    assert set(book.without_traces(live).metadata) == {"kernelspec"}
    assert "widgets" in live.metadata


def test_the_site_is_whole_and_built_once(root, monkeypatch):
    html = root / "_build" / "html"
    assert site.make_book(root) == html / "index.html"
    assert check_site(html) == []
    page = (html / "book" / "waves.html").read_text()
    assert 'alt="a sine of period 007"' in page and "p is 7" in page
    assert not list((root / "_run").glob("site-*"))
    monkeypatch.setattr(site, "_run_sphinx", lambda folder: pytest.fail("built again"))
    site.make_book(root)


def test_shipped_runs_are_no_pages(root, tmp_path_factory):
    before = site.site_key(root, {})
    (root / "book" / "runs" / "nanda").mkdir(parents=True)
    (root / "book" / "runs" / "nanda" / "notes.md").write_text("# A page on no table of contents")
    assert site.site_key(root, {}) == before
    staged = tmp_path_factory.mktemp("staged")
    site.stage(root, {}, staged)
    assert (staged / "book" / "waves.md").is_file() and not (staged / "book" / "runs").exists()
    assert "book/runs" in (REPOSITORY / "_config.yml").read_text()


@pytest.fixture
def built(tmp_path, monkeypatch):
    """A site of one chapter, not executed, that has a notebook, and what leads where on a page."""
    write_book(tmp_path, plain=PLAIN, index="# A book\n\n{doc}`plain`\n")
    for folder in ("executed", "notebooks"):
        (tmp_path / folder).mkdir()
    chapter = chapters.read_chapters(tmp_path)[0]
    executed = tmp_path / "executed" / "plain.ipynb"
    executed.write_text(nbformat.writes(chapter.notebook()))
    (tmp_path / "notebooks" / "plain.ipynb").write_text('{"as": "paired"}')

    def build(address):
        monkeypatch.setenv("MIIII_REPOSITORY", address)
        html = site.build_site(tmp_path, {chapter.page: executed}).parent
        assert check_site(html) == []
        return html

    return build


def buttons(html, page):
    """Addresses by what the buttons of a page's header say."""
    header = (html / "book" / f"{page}.html").read_text().partition("<article")[0]
    links = re.findall(r'<a href="([^"]*)" target="_blank"(.*?)</a>', header, re.S)
    return {re.findall(r'btn__text-container">(.*?)<', said)[0]: href for href, said in links}


def test_a_known_repository_has_buttons_that_lead_to_it(built):
    html = built("ada/engine")
    github, notebook = "https://github.com/ada/engine", "main/notebooks/plain.ipynb"
    chapter = buttons(html, "plain")
    assert chapter["Repository"] == github
    assert chapter["Suggest edit"] == f"{github}/edit/main/book/plain.md"
    assert chapter["Open issue"].startswith(f"{github}/issues/new?title=")
    assert chapter["Colab"].endswith(f"/github/ada/engine/blob/{notebook}")
    assert chapter["Binder"].endswith("/ada/engine/main?urlpath=lab/tree/notebooks/plain.ipynb")
    page = buttons(html, "index")
    assert page["Suggest edit"] == f"{github}/edit/main/book/index.md"
    assert not {"Colab", "Binder"} & set(page)


def test_without_an_address_there_are_downloads_only(built):
    html = built("")
    chapter = buttons(html, "plain")
    assert set(chapter) == {".md", ".ipynb"} and set(buttons(html, "index")) == {".md"}
    got = {suffix: (html / "book" / href).read_text() for suffix, href in chapter.items()}
    assert got == {".md": PLAIN, ".ipynb": '{"as": "paired"}'}
    assert "github.com" not in (html / "book" / "plain.html").read_text()


FIGURE = "```{figure} _static/grokking.png\n:name: fig-omega\n:alt: a run\n\nThree claims.\n```\n"
SHOWN = ("spike", "spike-time", "reuse")
ROWS = "".join(f'<tr id="claim-{key}"><td></td></tr>' for key in SHOWN)


def test_a_figure_that_shows_claims_leads_to_them_in_the_ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("MIIII_REPOSITORY", "")
    pages = {
        "neurons": f"# Neurons\n\n{FIGURE}",
        "replication": f"# Ledger\n\n<table>{ROWS}</table>\n",
    }
    write_book(tmp_path, **pages, index="# A book\n")
    html = site.build_site(tmp_path, {}).parent
    assert check_site(html) == []
    caption = (html / "book" / "neurons.html").read_text().partition("<figcaption>")[2]
    links = re.findall(
        r'href="(replication[^"]*)">(.*?)</a>', caption.partition("</figcaption>")[0]
    )
    assert links == [(f"replication.html#claim-{key}", key.replace("-", " ")) for key in SHOWN]


@pytest.mark.parametrize("claim", claims.LEDGER, ids=lambda claim: claim.key)
def test_what_shows_a_claim_is_a_figure_of_its_page(claim):
    assert f"    name: {claim.figure}\n" in (REPOSITORY / "book" / f"{claim.page}.md").read_text()


def test_another_address_or_notebook_makes_the_site_anew(root, monkeypatch):
    monkeypatch.setenv("MIIII_REPOSITORY", "")
    keys = {site.site_key(root, {})}
    monkeypatch.setenv("MIIII_REPOSITORY", "ada/engine")
    keys.add(site.site_key(root, {}))
    (root / "notebooks").mkdir()
    (root / "notebooks" / "plain.ipynb").touch()
    keys.add(site.site_key(root, {}))
    assert len(keys) == 3


def test_a_page_of_times_says_what_each_chapter_took(root, tmp_path_factory):
    kept = tmp_path_factory.mktemp("kept") / "waves.ipynb"
    kept.write_text(json.dumps({"metadata": {book.SECONDS: 12.6}}))
    (root / "book" / "times.md").write_text(f"# Times\n\n{site.TIMES}\n")
    staged = tmp_path_factory.mktemp("staged")
    site.stage(root, {"book/waves": kept}, staged)
    assert "| {doc}`waves` | 13 |\n" in (staged / "book" / "times.md").read_text()
    assert site.TIMES in (REPOSITORY / "book" / "times.md").read_text()


def test_a_touched_site_is_not_current(root):
    html, record = root / "_build" / "html", root / "_run" / "site.json"
    for folder in (html, record.parent):
        folder.mkdir(parents=True)
    files.save_json(record, {"source": "this", "html": site._fingerprint(html)})
    assert site._is_current(html, record, "this")
    assert not site._is_current(html, record, "another")
    (html / "stray").write_text("")
    assert not site._is_current(html, record, "this")


def test_a_page_that_sphinx_warns_about_leaves_the_old_site(root):
    old = root / "_build" / "html" / "index.html"
    old.parent.mkdir(parents=True)
    old.write_text("old")
    (root / "_toc.yml").write_text(json.dumps({"format": "jb-book", "root": "book/index"}))
    (root / "book" / "index.md").write_text("# A book\n\n{doc}`nowhere`\n")
    with pytest.raises(site.SiteError, match="nowhere"):
        site.make_book(root)
    assert old.read_text() == "old"
    assert not list((root / "_run").glob("site-*"))


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="gone.html">x</a>', "gone.html leads to a file that is not there"),
        ('<a href="#gone">x</a>', "#gone leads to a place that is not on that page"),
        ('<script src="https://cdn.example/x.js"></script>', "is fetched from another host"),
        ('<link rel="stylesheet" href="//cdn.example/x.css">', "is fetched from another host"),
        ('<img src="a.png">', "a.png has no alt text"),
        ('<img src="a.png" alt="images/a.png">', "a.png has no alt text"),
        ('<div class="output traceback"></div>', "a cell has failed"),
        ("<p>the run `mine`</p>", "Markdown stands there unread: the run `mine`"),
    ],
)
def test_faults_of_a_page_are_found(tmp_path, body, fault):
    (tmp_path / "a.png").touch()
    (tmp_path / "index.html").write_text(f"<html><body>{body}</body></html>")
    assert [fault in found for found in check_site(tmp_path)] == [True]


def test_faults_of_a_style_are_found_and_good_links_pass(tmp_path):
    (tmp_path / "index.html").write_text(
        '<p id="here"><a href="#here">x</a><a href="https://a.b">y</a><code>`z`</code>'
    )
    assert check_site(tmp_path) == []
    (tmp_path / "x.css").write_text("@font-face { src: url('https://fonts.example/f.woff') }")
    assert check_site(tmp_path) == [
        "x.css: https://fonts.example/f.woff is fetched from another host"
    ]


def test_a_folder_without_pages_is_a_fault(tmp_path):
    assert "no pages" in check_site(tmp_path)[0]


def test_the_lock_holds_every_dependency_and_no_host():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lock = (REPOSITORY / "requirements.lock").read_text()
    for requirement in project["dependencies"] + extras["book"] + extras["dev"]:
        name = re.split(r"[\[<>=~! ]", requirement)[0]
        assert re.search(rf"^{re.escape(name)}==", lock, re.MULTILINE), f"{name}: run make lock"
    assert "://" not in lock


REAL = {chapter.name: chapter for chapter in chapters.read_chapters(REPOSITORY)}


@pytest.fixture
def executed(tmp_path_factory, monkeypatch):
    """A real chapter at tiny parameters: executed once, whichever worker comes first."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    monkeypatch.setenv("MIIII_RUNS", str(shared / "runs"))

    def execute_once(name):
        result = shared / f"{name}.ipynb"
        with FileLock(f"{result}.lock"):
            if not result.exists():
                chapter = REAL[name]
                notebook = book.execute(chapter, chapters.changed(chapter, TINY))
                files.write_atomic(result, nbformat.writes(notebook).encode())
        return result

    return execute_once


@pytest.mark.parametrize("name", REAL)
def test_a_real_chapter_runs_with_tiny_parameters(name, executed):
    try:
        notebook = nbformat.read(executed(name), as_version=4)
    except PapermillExecutionError as error:
        pytest.fail(str(error))
    said = "".join(output.text for output in outputs(notebook) if output.get("name") == "stderr")
    assert "Warning" not in said


def test_the_real_site_is_whole(executed, tmp_path):
    # From the end, so that two workers meet in the middle.
    notebooks = {chapter.page: executed(name) for name, chapter in reversed(REAL.items())}
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    shutil.copytree(REPOSITORY / "book", tmp_path / "book", ignore=shutil.ignore_patterns(".*"))
    site.build_site(tmp_path, notebooks)
    assert check_site(tmp_path / "_build" / "html") == []
