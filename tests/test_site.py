"""The site: built whole and once, its faults found; its address, notebooks and printed sheets."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
from check_site import check_site
from pypdf import PdfReader, PdfWriter
from pypdf.annotations import Link
from tiny_book import FRONT, PLAIN, REPOSITORY, write_book

from miiii_book import build, site
from miiii_book.site import Repository, find_repository, parse_address
from tools import notebooks, print_book
from tools.plain_markdown import find_places, plain


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A book of one chapter and a page without code."""
    monkeypatch.setenv("MIIII_REPOSITORY", "")
    write_book(tmp_path, plain=PLAIN, index="# A book\n\n{doc}`plain`\n")
    return tmp_path


def make(root):
    return site.build_site(root, build.execute_stale(build.plan(root, (), {}))).parent


def test_the_site_is_whole_and_built_once_and_offers_sources(root, monkeypatch):
    (root / "notebooks").mkdir()
    (root / "notebooks" / "plain.ipynb").write_text('{"as": "paired"}')
    html = make(root)
    assert check_site(html) == [] and "49 " in (html / "book" / "plain.html").read_text()
    assert not list((root / "_run").glob("site-*"))
    page = (html / "book" / "plain.html").read_text()
    sources = re.findall(r'href="(\.\./_sources/[^"]+(\.\w+))"', page)
    got = {suffix: (html / "book" / href).read_text() for href, suffix in sources}
    assert got == {".md": PLAIN, ".ipynb": '{"as": "paired"}'} and "github.com" not in page
    monkeypatch.setattr(site, "_run_sphinx", lambda folder: pytest.fail("built again"))
    assert make(root) == html
    (html / "index.html").write_text("by others")
    monkeypatch.setattr(site, "_run_sphinx", lambda folder: (_ for _ in ()).throw(InterruptedError))
    with pytest.raises(InterruptedError):
        make(root)


@pytest.mark.thorough
def test_where_the_address_is_known_there_are_buttons(root, monkeypatch):
    monkeypatch.setenv("MIIII_REPOSITORY", "ada/engine")
    (root / "notebooks").mkdir()
    (root / "notebooks" / "plain.ipynb").write_text("{}")
    page = (make(root) / "book" / "plain.html").read_text()
    place = "ada/engine/blob/main/notebooks/plain.ipynb"
    assert f"https://colab.research.google.com/github/{place}" in page
    assert "https://mybinder.org/v2/gh/ada/engine/main?urlpath=lab/tree/notebooks/plain" in page
    assert "https://github.com/ada/engine/edit/main/book/plain.md" in page


def test_sources_address_and_packages_make_the_site_anew(root, monkeypatch):
    keys = [site.site_key(root, {})]
    monkeypatch.setenv("MIIII_REPOSITORY", "ada/engine")
    keys.append(site.site_key(root, {}))
    (root / "book" / "index.md").write_text("# Another\n")
    keys.append(site.site_key(root, {}))
    monkeypatch.setattr(site.importlib.metadata, "distributions", lambda: [])
    keys.append(site.site_key(root, {}))
    assert len(set(keys)) == 4


def test_a_page_that_sphinx_warns_about_leaves_the_old_site(root):
    old = root / "_build" / "html" / "index.html"
    old.parent.mkdir(parents=True)
    old.write_text("old")
    (root / "_toc.yml").write_text(json.dumps({"format": "jb-book", "root": "book/index"}))
    (root / "book" / "index.md").write_text("# A book\n\n{doc}`nowhere`\n")
    with pytest.raises(build.BuildError, match="nowhere"):
        make(root)
    assert old.read_text() == "old" and not list((root / "_run").glob("site-*"))


@pytest.mark.thorough
def test_the_api_has_a_page_for_each_module_outside_the_sidebar(tmp_path):
    text = "# A book\n\n{doc}`The package </api/index>`\n"
    write_book(tmp_path, ("api", "buttons", "mended", "verdicts"), one="# One\n", index=text)
    html = site.build_site(tmp_path, {}).parent
    assert check_site(html) == []
    modules = {p.stem for p in (REPOSITORY / "miiii_core").glob("*.py")} - {"__init__", "__main__"}
    assert {p.stem for p in (html / "api").glob("*.html")} == modules | {"index"}
    assert "miiii_core.waves.turns" in (html / "api" / "waves.html").read_text()
    front = (html / "book" / "index.html").read_text()
    assert "../api/index.html" in front and "/api/" not in front.split("<article")[0]


@pytest.mark.thorough
def test_the_story_is_numbered_and_a_link_says_where_it_leads(tmp_path, monkeypatch):
    monkeypatch.setenv("MIIII_REPOSITORY", "ada/engine")
    pages = {name: f"# Of {name}\n\nWords.\n\n## More\n" for name in ("one", "two", "late", "play")}
    pages["two"] += "\n{.answer}\nTwo is *even*.\n"
    write_book(tmp_path, ("look",), **pages, index="# A book\n\nIt has two chapters.\n")
    parts = {"The story": ["one", "two"], "Toys": ["play"], "Appendices": ["late"]}
    table = {"format": "jb-book", "root": "book/index", "parts": [
        {"caption": caption, "chapters": [{"file": f"book/{name}"} for name in names]}
        for caption, names in parts.items()
    ]}  # fmt: skip
    (tmp_path / "_toc.yml").write_text(json.dumps(table))
    html = site.build_site(tmp_path, {}).parent
    assert check_site(html) == []
    assert print_book.story(tmp_path) == ["book/index", "book/one", "book/two"]
    text = {name: (html / "book" / f"{name}.html").read_text() for name in pages}
    kinds = [("one", "Chapter 1"), ("two", "Chapter 2"), ("late", None), ("play", None)]
    for name, number in kinds:
        found = re.findall(r'<p class="chapter-number">(.*)</p>\n<h1>', text[name])
        assert found == [number] * bool(number)
        folded = re.findall(r'<details class="folded"( open="")?>', text[name])
        assert folded == [' open=""' if name == "late" else ""]
    assert '<meta property="og:description" content="Two is even." />' in text["two"]
    picture = "https://raw.githubusercontent.com/ada/engine/main/book/_static/share.png"
    assert f'"og:image" content="{picture}"' in text["one"]
    lead = (html / "index.html").read_text()
    assert 'content="It has two chapters."' in lead and "url=book/index.html" in lead


@pytest.mark.thorough
def test_jupyter_book_builds_from_the_top_level_without_warnings(root):
    command = [sys.executable, "-c", site.SPHINX, "build", ".", "-W", "-n", "--keep-going"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "49 " in (root / "_build" / "html" / "book" / "plain.html").read_text()


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
        ('<a id="here" href="#here">x</a><a href="https://a.b">y</a><code>`z`</code>', None),
    ],
)
def test_faults_of_a_page_are_found(tmp_path, body, fault):
    (tmp_path / "a.png").touch()
    (tmp_path / "index.html").write_text(f"<html><body>{body}</body></html>")
    found = check_site(tmp_path)
    assert found == [] if fault is None else [fault in one for one in found] == [True]


def test_faults_of_a_style_and_of_a_folder_are_found(tmp_path):
    assert "no pages" in check_site(tmp_path)[0]
    (tmp_path / "index.html").touch()
    (tmp_path / "x.css").write_text("@font-face { src: url('https://fonts.example/f.woff') }")
    assert check_site(tmp_path) == [
        "x.css: https://fonts.example/f.woff is fetched from another host"
    ]


def test_a_finished_page_keeps_only_the_files_that_it_uses():
    spec = importlib.util.spec_from_file_location("mended", REPOSITORY / "book/_ext/mended.py")
    mended = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mended)
    head = '<link href="../_static/sphinx-design.min.css?v=6a" />\n' + "".join(
        f'<script src="../_static/{name}.js?v=1"></script>\n'
        for name in ("scripts/fontawesome", "doctools", "searchtools", "language_data")
    )

    def files(body, searches=False):
        text = mended.finished(head + body, searches=searches)
        return set(re.findall(r'(?:src|href)="[^"]*/([^/"?]+)', text))

    search = {"searchtools.js", "language_data.js"}
    assert files("") == {"doctools.js"} and files("", searches=True) == {"doctools.js"} | search
    assert files('<div class="a sd-card">') == {"doctools.js", "sphinx-design.min.css"}
    icon = mended.finished('<i class="fas fa-code"></i><i class="x">y</i>', searches=False)
    assert icon == '<i aria-hidden="true" class="fas fa-code"></i><i class="x">y</i>'


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("https://github.com/ada/engine/\n", ("ada", "engine")),
        ("https://user:secret@github.com/ada/engine.git", ("ada", "engine")),
        ("git@github.com:a-b/c.d-e_f.git", ("a-b", "c.d-e_f")),
        ("ssh://git@ssh.github.com:443/ada/engine.git", ("ada", "engine")),
        ("github.com/ada/engine", ("ada", "engine")), ("git@gh-work:ada/engine.git", None),
        ("https://GitHub.com/Ada/Engine", ("Ada", "Engine")),
        ("", None), ("/srv/git/engine.git", None), ("https://gitlab.com/ada/engine.git", None),
        ("https://notgithub.com/ada/engine", None), ("https://github.com/ada", None),
        ("https://example.org/github.com/ada/engine", None),
    ],
)  # fmt: skip
def test_an_address_on_github_is_read_and_any_other_is_none(address, found):
    assert parse_address(address) == (found and Repository(*found, "main"))


def test_a_clone_knows_its_remote_and_the_variable_comes_first(tmp_path, monkeypatch):
    def git(*words):
        subprocess.run(["git", "-C", clone, *words], check=True, capture_output=True)

    monkeypatch.delenv(site.VARIABLE, raising=False)
    clone = tmp_path / "clone"
    (clone / "copy").mkdir(parents=True)
    git("init", "--quiet", "--initial-branch", "trunk")
    git("remote", "add", "origin", "git@github.com:ada/engine.git")
    assert find_repository(clone) == Repository("ada", "engine", "trunk")
    assert find_repository(clone / "copy") is None and find_repository(tmp_path) is None
    monkeypatch.setenv(site.VARIABLE, "eve/fork")
    assert find_repository(clone) == Repository("eve", "fork", "trunk")
    monkeypatch.setenv(site.VARIABLE, "")
    assert find_repository(clone) is None
    monkeypatch.setenv(site.VARIABLE, "a/b/c")
    with pytest.raises(ValueError, match="a/b/c.*OWNER/NAME"):
        find_repository(clone)


def test_the_lock_holds_every_dependency_and_no_host():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lock = (REPOSITORY / "requirements.lock").read_text()
    for requirement in project["dependencies"] + extras["book"] + extras["dev"]:
        name = re.split(r"[\[<>=~! ]", requirement)[0]
        assert re.search(rf"^{re.escape(name)}==", lock, re.MULTILINE), f"{name}: run make lock"
    assert "://" not in lock


def test_notebooks_are_in_step_with_their_chapters_until_these_change(root, monkeypatch):
    monkeypatch.setenv("MIIII_REPOSITORY", "ada/engine")
    notebooks.write(root)
    monkeypatch.setenv("MIIII_REPOSITORY", "")
    path = root / "notebooks" / "plain.ipynb"
    note, setup, title, *code = nbformat.read(path, as_version=4).cells
    assert "book/plain.md" in note.source and title.source == "# Plain"
    assert 'repository, branch = "https://github.com/ada/engine", ""' in setup.source
    assert not any(cell.outputs for cell in code) and code[0].metadata.tags == ["parameters"]
    assert notebooks.out_of_step(root) == []
    (root / "notebooks" / "stray.ipynb").touch()
    (root / "book" / "plain.md").write_text(PLAIN.replace("p = 7", "p = 11"))
    assert notebooks.out_of_step(root) == ["plain.ipynb", "stray.ipynb"]
    notebooks.write(root)
    assert notebooks.out_of_step(root) == [] and "ada/engine" in path.read_text()


@pytest.mark.parametrize(
    ("myst", "markdown"),
    [
        ("{cite:t}`ada` and {cite}`both`", "Løvelace (1843) and (Lovelace and Babbage 1844)"),
        ("at {glue:text}`mean:.2f` nats", "at `mean` nats"),
        ("see {doc}`there`", "see [There](../book/there.md)"),
        ("{doc}`elsewhere <there>`, {doc}`/api/index`", "elsewhere, `/api/index`"),
        ("{numref}`fig-a` and {eq}`eq-x`", 
         "Figure 1 of [One](one.ipynb) and (1) of [One](one.ipynb)"),
        ("```{exercise} Why?\n:label: ex\n\nSay `why`.\n```", "**Exercise: Why?**\n\nSay `why`."),
        ("```{note}\nOne.\n\nTwo.\n```", "> **Note**\n>\n> One.\n>\n> Two."),
        ("```sh\nmiiii book\n```\n\n$$ x $$ and `$$ (z)`", None),
    ],
)  # fmt: skip
def test_what_only_myst_knows_becomes_plain(tmp_path, myst, markdown):
    (tmp_path / "works.bib").write_text(
        "@misc{ada, author = {Ada L{\\o}velace}, year = {1843}}\n"
        "@misc{both, author = {Ada Lovelace and Charles Babbage}, year = {1844}}\n"
    )
    figure = nbformat.v4.new_code_cell(metadata={"mystnb": {"figure": {"name": "fig-a"}}})
    cells = {"one": nbformat.v4.new_notebook(cells=[figure])}
    sources = {"one": "# One\n\n$$ x $$ (eq-x)\n", "there": f"{FRONT}# There\n"}
    places = find_places(sources, cells, tmp_path / "works.bib")
    assert plain(myst, "there", places) == (myst if markdown is None else markdown)


def test_printed_pages_are_joined_with_outline_and_links(tmp_path):
    def printed(name, titles, headings, links=()):
        writer = PdfWriter()
        for number, title in enumerate(titles):
            writer.add_blank_page(width=200, height=200)
            writer.add_outline_item(title=title, page_number=number)
        for address in links:
            writer.add_annotation(0, Link(rect=(0, 0, 9, 9), url=address))
        writer.write(tmp_path / name)
        return print_book.Printed(PdfReader(tmp_path / name), headings)

    first, second = Path("/site/first page.html"), Path("/site/second.html")
    headings = {"Onetwo": "One two", "Three": "Three"}
    links = [second.as_uri() + "#there", "https://arxiv.org", "file:///site/gone.html"]
    both = {
        first: printed("1.pdf", ["Onetwo", "ThreeThree"], headings, links),
        second: printed("2.pdf", ["Four"], {}, [first.as_uri()]),
    }
    print_book.joined(both).write(tmp_path / "book.pdf")
    book = PdfReader(tmp_path / "book.pdf")
    outline = [(item.title, book.get_destination_page_number(item)) for item in book.outline]
    assert outline == [("One two", 0), ("Three", 1), ("Four", 2)]
    places = {page.indirect_reference.idnum: n for n, page in enumerate(book.pages)}
    found = []
    for number in (0, 2):
        for reference in book.pages[number]["/Annots"]:
            link = reference.get_object()
            to = link["/A"]["/URI"] if "/A" in link else places[link["/Dest"][0].idnum]
            found.append((number, to))
    assert sorted(found, key=str) == [(0, "https://arxiv.org"), (0, 2), (2, 0)]
