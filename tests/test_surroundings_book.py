"""What lies around the book, and must not change it: settings, files, locales, git, ports."""

import os
import shutil
import socket
import subprocess
import sys
import tarfile
from io import BytesIO
from types import SimpleNamespace
from urllib import request
from urllib.error import URLError

import jupytext
import pytest
from tiny_book import FRONT, PLAIN, REPOSITORY, write_book

from miiii_book import build, chapters, kernel, site
from tools import notebooks

CELL = "```{code-cell} ipython3\n"
PROBE = f"""{FRONT}
# Probe

{CELL}:tags: [parameters]
p = 7
```

{CELL}import locale, os, sys
import matplotlib
"one"
"two"
```

{CELL}own = matplotlib.rcParamsDefault
print([name for name, value in matplotlib.rcParams.items() if value != own[name]])
print(hash("x"), sys.flags.optimize, sys.warnoptions, sys.stdout.encoding, "é")
print([name for name in os.environ if name.startswith(("JAX_LOG", "COL", "TZ", "LC_A", "FORCE"))])
print([name for name in globals() if name.startswith("of_the_user")])
print(locale.setlocale(locale.LC_ALL, ""), os.getcwd())
```

{CELL}:mystnb: {{figure: {{name: fig-x, caption: x}}, image: {{alt: a line}}}}
import matplotlib.pyplot as plt
plt.plot([0, p]);
```
"""
FILES = {  # of a user's own, by place in the home
    ".ipython/profile_default/startup/a.py": "of_the_user = 1\nprint('startup')\n",
    ".ipython/profile_default/ipython_config.py": (
        "c = get_config()\nc.InteractiveShell.ast_node_interactivity = 'all'\n"
        "c.InlineBackend.figure_formats = {'svg'}\n"
        "c.InteractiveShellApp.exec_lines = ['of_the_user_too = 1']\n"
    ),
    "matplotlibrc": "text.usetex: True\nfigure.facecolor: black\n",
    "startup.py": "of_the_user_as_well = 1\n",
}
VARIABLES = {
    "MPLBACKEND": "Agg", "PYTHONWARNINGS": "always", "PYTHONHASHSEED": "99", "PYTHONOPTIMIZE": "2",
    "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "latin-1", "LC_ALL": "C",
    "LANG": "de_DE.ISO-8859-1", "TZ": "Asia/Tokyo", "COLUMNS": "40", "NO_COLOR": "1",
    "FORCE_COLOR": "1", "JAX_LOG_COMPILES": "1",
}  # fmt: skip


def outputs(notebook):
    return [cell.get("outputs") for cell in notebook.cells]


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
    assert outputs(build.execute(chapter, {}, [])) == outputs(plain)
    settings, flags, variables, names, _ = plain.cells[3].outputs[0].text.splitlines()
    assert [settings, variables, names] == ["['backend']", "[]", "[]"]
    assert flags.endswith(" 0 [] UTF-8 é") and "image/png" in plain.cells[4].outputs[0].data


def test_a_kernel_keeps_where_things_are(tmp_path, monkeypatch):
    kept = {
        "PYTHONPATH": "x",
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": "y",
        "LINE": "z",
    }
    for name, value in (kept | {"JAX_ENABLE_X64": "1", "MIIII_RUNS": "mine"}).items():
        monkeypatch.setenv(name, value)
    found = kernel.environment("profile")
    assert kept.items() <= found.items() and "JAX_ENABLE_X64" not in found
    assert found["MIIII_RUNS"] == os.path.abspath("mine") and found["IPYTHONDIR"] == "profile"


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


def test_a_chapter_that_jupyter_saves_is_not_stale():
    for chapter in chapters.read_chapters(REPOSITORY):
        notebook = chapter.notebook()
        notebook.metadata.kernelspec.display_name = "Python 3 (ipykernel)"
        notebook.metadata.language_info = {"name": "python", "version": "3.99"}
        for cell in notebook.cells:
            cell.metadata |= {"editable": True, "slideshow": {"slide_type": ""}}
        saved = chapters.Chapter("", chapter.path, jupytext.writes(notebook, fmt="md:myst"), {})
        assert saved.source != chapter.source and saved.content() == chapter.content()
        for part in ("source", "cell_type"):
            notebook = chapter.notebook()
            notebook.cells[-1][part] = "raw"
            text = jupytext.writes(notebook, fmt="md:myst")
            assert chapters.Chapter("", chapter.path, text, {}).content() != chapter.content()


def test_a_run_that_is_no_text_is_refused_in_one_line(tmp_path):
    write_book(tmp_path, plain=PLAIN, index="# A book\n")
    for value in (7, [7], ["miiii", None]):
        with pytest.raises(ValueError, match="is no run; name a preset or a folder"):
            build.plan(tmp_path, (), {"runs": value})


def test_no_file_is_opened_in_the_encoding_of_the_machine():
    places = [REPOSITORY / name for name in ("miiii_book", "tools", "book/_ext")]
    rule = ["--isolated", "--preview", "--select", "PLW1514", "--no-cache"]
    done = subprocess.run([sys.executable, "-m", "ruff", "check", *rule, *places], text=True)
    assert done.returncode == 0


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


class Machine:
    """What the first cell of a notebook meets: an address of Colab's, and what it runs."""

    def __init__(self, monkeypatch, opened=None, fails=False):
        self.ran, self.opened, self.fails = [], opened, fails
        monkeypatch.setenv("COLAB_JUPYTER_IP", "1.2.3.4")
        monkeypatch.setattr(request, "urlopen", self.answer)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        monkeypatch.setattr(subprocess, "run", self.run)

    def answer(self, url, timeout):
        if self.opened is None:
            raise URLError("refused")
        return BytesIO(f'[{{"path": "fileId={self.opened}", "name": "x"}}]'.encode())

    def run(self, words, check):
        self.ran.append(words)
        if self.fails:
            raise subprocess.CalledProcessError(128, words)
        os.makedirs("miiii/notebooks", exist_ok=True)
        shutil.copy(REPOSITORY / "requirements.lock", "miiii")


def first_cell(address=""):
    exec(notebooks.SETUP.replace("{address}", address), {})


@pytest.mark.parametrize("branch", ["main", "try/this", "0a1b2c3"])
def test_a_notebook_installs_the_branch_that_it_was_opened_from(tmp_path, monkeypatch, branch):
    monkeypatch.chdir(tmp_path)
    place = f"https://github.com/eve/fork/blob/{branch}/notebooks/tasks.ipynb"
    machine = Machine(monkeypatch, place.replace("/", "%2F").replace(":", "%3A"))
    first_cell("https://github.com/ada/engine")
    assert machine.ran[1][-2:] == ["https://github.com/eve/fork", branch]
    assert os.getcwd() == str(tmp_path / "miiii" / "notebooks")
    bounds = machine.ran[-1][machine.ran[-1].index("myst-nb") + 1 :]
    assert {"jax", "numpy", "myst-nb"} <= {bound.split("<=")[0] for bound in bounds}
    lock = (REPOSITORY / "requirements.lock").read_text("utf-8")
    assert all(f"\n{bound.replace('<=', '==')}" in lock for bound in bounds)


def test_a_notebook_gives_advice_where_it_cannot_install(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    machine = Machine(monkeypatch)
    with pytest.raises(SystemExit, match="write the address"):
        first_cell()
    assert machine.ran == []
    first_cell("https://github.com/ada/engine")
    assert machine.ran[1][-2:] == ["https://github.com/ada/engine", "HEAD"]
    monkeypatch.chdir(tmp_path)
    machine = Machine(monkeypatch, "https://github.com/ada/engine/blob/gone/notebooks/", fails=True)
    with pytest.raises(SystemExit, match="status 128.*write the address"):
        first_cell()


def test_a_notebook_says_when_an_older_library_is_still_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first_cell()
    monkeypatch.setitem(sys.modules, "numpy", SimpleNamespace(__version__="1.26"))
    with pytest.raises(SystemExit, match=r"numpy 1\.26 is still loaded: restart the runtime"):
        first_cell()


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make")
def test_a_port_that_is_taken_is_one_line(tmp_path):
    for place in ("_build/html/index.html", ".venv/bin/python", "tools/lab_settings.json"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "_build" / "html" / "index.html").touch()
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "tools/lab_settings.json"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    (tmp_path / ".venv" / ".installed").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = ["make", "serve", f"PORT={taken.getsockname()[1]}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    first, *rest = done.stderr.splitlines()
    assert done.returncode and "name another: make serve PORT=8001" in first
    assert len(rest) == 1 and rest[0].startswith("make: ***")


@pytest.mark.thorough
def test_the_source_distribution_has_what_its_tests_read(tmp_path):
    copy = tmp_path / "copy"
    passing = shutil.ignore_patterns(
        ".*", "_*s", "_build", "_run", "runs", "mathjax", "__pycache__"
    )
    shutil.copytree(REPOSITORY, copy, ignore=passing)
    code = "from setuptools import build_meta; build_meta.build_sdist('dist')"
    subprocess.run([sys.executable, "-c", code], cwd=copy, check=True, capture_output=True)
    with tarfile.open(next((copy / "dist").glob("*.tar.gz"))) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    folders = ("tests", "tools", "benchmarks", "book", "notebooks", "miiii_core", "miiii_book")
    wanted = [p for name in folders for p in (copy / name).rglob("*") if p.is_file()]
    wanted += [copy / name for name in ("Makefile", "requirements.lock", "_config.yml", "_toc.yml")]
    assert {path.relative_to(copy).as_posix() for path in wanted} <= held
