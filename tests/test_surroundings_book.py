"""What lies around the book, and must not change it: settings, files, locales, git, ports."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from urllib import request
from urllib.error import URLError
from urllib.parse import quote

import jupytext
import pytest
from tiny_book import FRONT, PLAIN, REPOSITORY, write_book

from miiii_book import build, chapters, kernel, site
from tools import notebooks

CELL = "```{code-cell} ipython3\n"
PROBE = f"""{FRONT}
# Probe

{CELL}import matplotlib, os, sys
"one"
"two"
```

{CELL}print([n for n, v in matplotlib.rcParams.items() if v != matplotlib.rcParamsDefault[n]])
print(hash("x"), sys.flags.optimize, sys.warnoptions, sys.stdout.encoding, "é")
print([name for name in os.environ if name.startswith(("JAX_LOG", "COL", "TZ", "LC_A"))])
print([name for name in globals() if name.startswith("of_the_user")])
```

{CELL}:mystnb: {{figure: {{name: fig-x, caption: x}}, image: {{alt: a line}}}}
import matplotlib.pyplot as plt
plt.plot([0, 7]);
```
"""
FILES = {  # of a user's own, by place in the home
    ".ipython/profile_default/startup/a.py": "of_the_user = 1\nprint('startup')\n",
    ".ipython/profile_default/ipython_config.py": (
        "c = get_config()\nc.InteractiveShell.ast_node_interactivity = 'all'\n"
        "c.InlineBackend.figure_formats = {'svg'}\n"
    ),
    "matplotlibrc": "text.usetex: True\nfigure.facecolor: black\n",
    "startup.py": "of_the_user_as_well = 1\n",
}
VARIABLES = {
    "MPLBACKEND": "Agg", "PYTHONWARNINGS": "always", "PYTHONHASHSEED": "99", "PYTHONOPTIMIZE": "2",
    "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "latin-1", "LC_ALL": "C",
    "LANG": "de_DE.ISO-8859-1", "TZ": "Asia/Tokyo", "COLUMNS": "40", "JAX_LOG_COMPILES": "1",
}  # fmt: skip


def test_a_chapter_comes_out_the_same_whatever_its_user_has_set_up(tmp_path, monkeypatch):
    write_book(tmp_path, probe=PROBE, index="# A book\n")
    (chapter,) = chapters.read_chapters(tmp_path)
    plain = build.execute(chapter, {}, [])
    home = tmp_path / "home"
    for place, text in FILES.items():
        (home / place).parent.mkdir(parents=True, exist_ok=True)
        (home / place).write_text(text)
    shutil.copy(home / "matplotlibrc", tmp_path / "book")
    places = {"HOME": "", "IPYTHONDIR": ".ipython", "MATPLOTLIBRC": ""}
    for name, place in (places | {"PYTHONSTARTUP": "startup.py"}).items():
        monkeypatch.setenv(name, str(home / place))
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    for cell, again in zip(plain.cells, build.execute(chapter, {}, []).cells, strict=True):
        assert cell.get("outputs") == again.get("outputs")
    settings, flags, variables, names = plain.cells[2].outputs[0].text.splitlines()
    assert [settings, variables, names] == ["['backend']", "[]", "[]"]
    assert flags.endswith(" 0 [] UTF-8 é") and "image/png" in plain.cells[3].outputs[0].data


def test_a_kernel_keeps_where_things_are(monkeypatch):
    kept = {"PYTHONPATH": "x", "JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": "y", "LINE": ""}
    for name, value in (kept | {"JAX_ENABLE_X64": "1", "MIIII_RUNS": "mine"}).items():
        monkeypatch.setenv(name, value)
    found = kernel.environment()
    assert kept.items() <= found.items() and "JAX_ENABLE_X64" not in found
    assert found["MIIII_RUNS"] == os.path.abspath("mine")


def test_an_execution_is_of_the_libraries_python_and_flags_that_made_it(tmp_path, monkeypatch):
    write_book(tmp_path, plain=PLAIN, index="# A book\n")
    keys = [build.plan(tmp_path, (), {})[0].result for _ in range(2)]
    assert keys[0] == keys.pop()
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    keys.append(build.plan(tmp_path, (), {})[0].result)
    versions = {name: build.version(name) for name in build.LIBRARIES} | {"matplotlib": "0"}
    monkeypatch.setattr(build, "version", versions.get)
    keys.append(build.plan(tmp_path, (), {})[0].result)
    monkeypatch.setattr(build.sys, "version_info", (3, 99))
    keys.append(build.plan(tmp_path, (), {})[0].result)
    assert len(set(keys)) == 4


def test_a_chapter_that_jupyter_saves_is_not_stale_and_one_that_is_edited_is():
    for chapter in chapters.read_chapters(REPOSITORY):
        saved, edited = chapter.notebook(), chapter.notebook()
        saved.metadata.kernelspec.display_name = "Python 3 (ipykernel)"
        saved.metadata.language_info = {"name": "python", "version": "3.99"}
        saved.cells[1].metadata |= {"editable": True, "slideshow": {"slide_type": ""}}
        edited.cells[-1].cell_type = "raw"
        again = [replace(chapter, source=jupytext.writes(x, "md:myst")) for x in (saved, edited)]
        assert again[0].source != chapter.source and again[0].content() == chapter.content()
        assert again[1].content() != chapter.content()


def test_a_run_that_is_no_text_is_refused_in_one_line(tmp_path):
    write_book(tmp_path, plain=PLAIN.replace("p = 7", "runs = []"), index="# A book\n")
    for value in ([7], ["miiii", None]):
        with pytest.raises(ValueError, match="is no folder of a run, and no preset"):
            build.plan(tmp_path, (), {"runs": value})


def test_no_file_is_opened_in_the_encoding_of_the_machine():
    places = [REPOSITORY / name for name in ("miiii_book", "tools", "book/_ext")]
    rule = ["check", "--isolated", "--no-cache", "--preview", "--select", "PLW1514"]
    assert not subprocess.run([sys.executable, "-m", "ruff", *rule, *places]).returncode


@pytest.mark.thorough
def test_the_book_is_built_in_a_locale_that_is_not_utf_8(tmp_path, monkeypatch):
    root = tmp_path / "bücher"
    root.mkdir()
    write_book(root, plain=PLAIN.replace("# Plain", "# Plain é"), index="# Ein Büchlein\n")
    git(root, "init", "--quiet", "--initial-branch", "größer")
    git(root, "remote", "add", "origin", "https://GitHub.com/ada/engine")
    monkeypatch.delenv(site.VARIABLE, raising=False)
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "MPLBACKEND": "Agg"}
    command = [sys.executable, "-c", "from miiii_core import cli; cli.main(['book'])"]
    done = subprocess.run(command, cwd=root, env={**os.environ, **plain}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    page = (root / "_build" / "html" / "book" / "plain.html").read_text("utf-8")
    assert "Plain é" in page and "ada/engine/edit/größer/book/plain.md" in page


def git(folder, *words):
    subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True)


def test_where_git_names_no_address_one_line_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(site.VARIABLE, raising=False)
    write_book(tmp_path, plain=PLAIN, index="# A book\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "remote", "add", "origin", "git@gh-work:ada/engine.git")

    def said():
        links = "use_issues_button" in site._configuration(tmp_path)["html"]
        return links, capsys.readouterr().err.count("MIIII_REPOSITORY=OWNER/NAME names one")

    assert said() == (False, 1)
    git(tmp_path, "config", "url.https://github.com/.insteadOf", "git@gh-work:")
    assert said() == (True, 0)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # a clone of another user's
    assert said() == (False, 1)
    monkeypatch.setenv(site.VARIABLE, "")
    assert said() == (False, 0)


@pytest.fixture
def colab(tmp_path, monkeypatch):
    """What the first cell of a notebook meets: what Colab says has been opened; what is run."""
    seen = SimpleNamespace(opened="", ran=[], fails=False)

    def answer(url, timeout):
        if not seen.opened:
            raise URLError("refused")
        opened = {"path": f"fileId={quote(seen.opened, safe='')}", "name": "x"}
        return BytesIO(json.dumps([opened]).encode())

    def run(words, check):
        seen.ran.append(words)
        if seen.fails:
            raise subprocess.CalledProcessError(128, words)
        os.makedirs("miiii/notebooks", exist_ok=True)
        shutil.copy(REPOSITORY / "requirements.lock", "miiii")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLAB_JUPYTER_IP", "1.2.3.4")
    monkeypatch.setattr(request, "urlopen", answer)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(subprocess, "run", run)
    return seen


def first_cell(address=""):
    exec(notebooks.SETUP.replace("{address}", address), {})


@pytest.mark.parametrize("branch", ["main", "try/this", "0a1b2c3"])
def test_a_notebook_installs_the_branch_that_it_was_opened_from(colab, tmp_path, branch):
    colab.opened = f"https://github.com/eve/fork/blob/{branch}/notebooks/tasks.ipynb"
    first_cell("https://github.com/ada/engine")
    assert colab.ran[1][-2:] == ["https://github.com/eve/fork", branch]
    assert Path.cwd() == tmp_path / "miiii" / "notebooks"
    bounds = colab.ran[-1][colab.ran[-1].index("myst-nb") + 1 :]
    assert {"jax", "numpy", "myst-nb"} <= {bound.split("<=")[0] for bound in bounds}
    lock = (REPOSITORY / "requirements.lock").read_text("utf-8")
    assert all(f"\n{bound.replace('<=', '==')}" in lock for bound in bounds)


def test_a_notebook_gives_advice_where_it_cannot_install(colab):
    with pytest.raises(SystemExit, match="write the address"):
        first_cell()
    assert colab.ran == []
    colab.fails = True
    with pytest.raises(SystemExit, match="status 128.*write the address"):
        first_cell("https://github.com/ada/engine")


def test_a_notebook_says_when_an_older_library_is_still_loaded(colab, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    first_cell()
    monkeypatch.setitem(sys.modules, "numpy", SimpleNamespace(__version__="1.26"))
    with pytest.raises(SystemExit, match=r"numpy 1\.26 is still loaded: restart the runtime"):
        first_cell()


def test_a_port_that_is_taken_is_one_line(tmp_path):
    (tmp_path / "index.html").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = [f"PORT={taken.getsockname()[1]}", f"SITE={tmp_path}/index.html", "INSTALLED="]
        words += [f"BIN={Path(sys.executable).parent}", "-C", REPOSITORY, "serve"]
        done = subprocess.run(["make", *words], capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert done.returncode and len(said) == 1 and "name another: make serve PORT=8001" in said[0]


@pytest.mark.thorough
def test_the_source_distribution_has_what_its_tests_read(tmp_path):
    copy = tmp_path / "copy"
    unwanted = (".*", "_[br]*", "__*", "runs", "mathjax", "*.egg-info", "build")
    shutil.copytree(REPOSITORY, copy, ignore=shutil.ignore_patterns(*unwanted))
    code = "from setuptools import build_meta; build_meta.build_sdist('dist')"
    subprocess.run([sys.executable, "-c", code], cwd=copy, check=True, capture_output=True)
    with tarfile.open(next((copy / "dist").glob("*.tar.gz"))) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    for path in (*copy.rglob("*.py"), *(copy / "book").rglob("*"), *(copy / "tests").rglob("*")):
        assert path.relative_to(copy).as_posix() in held
    assert {"Makefile", "requirements.lock", "_config.yml", "_toc.yml", "README.md"} <= held
