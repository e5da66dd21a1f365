"""Chapters: their parameters, what makes them stale, and their execution."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from tiny_book import PLAIN, REPOSITORY, WAVES, write_book

from miiii_book import build, chapters

# What the real chapters run with here: long enough to record, too short to learn.
TINY = {"p": 13, "epochs": 24, "d_model": 16, "seed": 3, "live_epochs": 24}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A book of two chapters and a page without code, with stand-ins for runs and packages."""
    write_book(tmp_path, waves=WAVES, plain=PLAIN, index="# A book\n\n{doc}`waves`\n")
    shelf = tmp_path / "book" / "runs"
    stand_in(shelf / "first")
    for name, text in {
        "miiii_core/__init__.py": "",
        "miiii_core/waves.py": "",
        "miiii_book/claims/waves.py": "",
        "miiii_book/claims/claims.toml": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(build, "PACKAGES", tmp_path)
    monkeypatch.setattr(build.runs, "shipped_root", lambda: shelf)
    monkeypatch.setattr(build.runs, "cached", lambda name, **_: stand_in(tmp_path / "made" / name))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stand_in(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text("{}")
    return SimpleNamespace(folder=folder)


def plan(root, names=(), **parameters):
    return build.plan(root, names, parameters)


def results(root, **parameters):
    return {e.chapter.name: e.result for e in plan(root, **parameters)}


def printed(notebook):
    return "".join(o.get("text", "") for cell in notebook.cells for o in cell.get("outputs", []))


def test_chapters_are_the_pages_of_the_table_that_run_code(root):
    waves, plain = chapters.read_chapters(root)
    assert (waves.name, waves.defaults) == ("waves", {"p": 7, "run": "first", "scale": 1.0})
    assert (plain.name, plain.defaults) == ("plain", {"p": 7})
    table = '{"format": "jb-book", "root": "book/index", "parts": [{"chapters": ['
    (root / "_toc.yml").write_text(
        table + '{"file": "book/plain", "sections": [{"file": "book/waves.md"}]}]}]}'
    )
    assert [chapter.name for chapter in chapters.read_chapters(root)] == ["plain", "waves"]
    (root / "book" / "plain.md").unlink()
    with pytest.raises(FileNotFoundError, match="book/plain"):
        chapters.read_chapters(root)


@pytest.mark.parametrize("line", ["p = 2 + x", "import os", "p += 1"])
def test_parameters_must_be_literals(root, line):
    (root / "book" / "plain.md").write_text(PLAIN.replace("p = 7", line))
    with pytest.raises(ValueError, match="name = literal"):
        plan(root)


def test_the_root_is_found_from_below_and_missed_outside(root, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(root / "book")
    assert chapters.find_root() == root
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(FileNotFoundError, match=r"_toc\.yml"):
        chapters.find_root()


def test_values_are_read_as_literals_or_strings():
    parsed = chapters.parse_parameters(["p=31", "run=my-run", "x=0.5", "names=['a', 'b']"])
    assert parsed == {"p": 31, "run": "my-run", "x": 0.5, "names": ["a", "b"]}
    for pair in ("p", "=3", "a b=3"):
        with pytest.raises(ValueError, match="name=value"):
            chapters.parse_parameters([pair])


def test_parameters_go_to_the_chapters_that_have_them(root):
    waves, plain = plan(root, p=5, scale=3)
    assert waves.given == {"p": 5, "scale": 3} and plain.given == {"p": 5}
    waves, plain = plan(root, ["plain"], p=5)
    assert waves.given == {} and plain.given == {"p": 5}
    assert results(root, p=7) == results(root)


@pytest.mark.parametrize(
    ("names", "parameters", "says"),
    [
        ((), {"q": 3}, r"'q'.*\n  waves: {'p': 7, 'run': 'first', .*}\n  plain: {'p': 7}"),
        (["plain"], {"scale": 2.0}, r"'scale'.*\n  plain: {'p': 7}$"),
        (["tides"], {}, "tides; chapters are waves, plain"),
        ((), {"p": "seven"}, "p='seven'.*waves takes a value of type int, such as its own 7"),
        ((), {"p": 7.5}, "p=7.5.*int"),
        ((), {"p": True}, "p=True.*int"),
        ((), {"scale": None}, "scale=None.*float"),
    ],
)
def test_parameters_that_will_not_do_are_refused(root, names, parameters, says):
    with pytest.raises(ValueError, match=says):
        plan(root, names, **parameters)


def test_folders_of_runs_are_meant_from_here_and_presets_by_name(root):
    stand_in(root / "mine")
    assert plan(root, run="mine")[0].given["run"] == str(root / "mine")
    assert plan(root, run="miiii-small")[0].given["run"] == "miiii-small"


def test_runs_that_are_not_shipped_are_trained_with_the_fields_that_are_given(root, monkeypatch):
    asked = []

    def cached(name, **overrides):
        asked.append((name, overrides))
        return stand_in(root / "made" / name)

    monkeypatch.setattr(build.runs, "cached", cached)
    text = WAVES.replace("p = 7", "p = None")
    (root / "book" / "waves.md").write_text(text)
    plan(root)
    assert asked == []
    plan(root, p=5)
    plan(root, ["waves"], run="second")
    assert asked == [("first", {"p": 5}), ("second", {})]


def changes(root, **files):
    """Names of the chapters that new contents of files make stale."""
    before = results(root)
    for place, text in files.items():
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    after = results(root)
    return {name for name in before if before[name] != after[name]}


def test_a_chapter_is_stale_when_what_it_stands_on_has_changed(root):
    assert changes(root) == set()
    assert changes(root, **{"book/plain.md": PLAIN + "\nMore.\n"}) == {"plain"}
    for place in (
        "miiii_core/waves.py", "miiii_book/claims/waves.py", "miiii_book/claims/claims.toml",
        "book/results/seeds.json", "book/runs/other/run.json",
    ):  # fmt: skip
        assert changes(root, **{place: "# changed"}) == {"waves", "plain"}, place


def fake_execution(monkeypatch):
    """Chapters that are executed, in order; nothing is."""
    calls = []

    def execute(chapter, given, kernels):
        calls.append(chapter.name)
        return chapter.notebook()

    monkeypatch.setattr(build, "execute", execute)
    return calls


def test_only_the_stale_are_executed_and_earlier_parameters_are_kept(root, monkeypatch, capsys):
    calls = fake_execution(monkeypatch)
    for p in (7, 5, 7):
        pages = build.execute_stale(plan(root, p=p))
    assert len(capsys.readouterr().err.splitlines()) == len(calls)
    assert sorted(calls) == ["plain", "plain", "waves", "waves"]
    assert set(pages) == {"book/waves", "book/plain"} and all(f.is_file() for f in pages.values())
    for p in range(10, 20):
        build.execute_stale(plan(root, ["plain"], p=p))
    kept = list((root / "_run" / "executed" / "plain").iterdir())
    assert len(kept) == build.KEPT_EXECUTIONS
    assert plan(root, ["plain"], p=19)[1].result in kept


def test_chapters_run_in_this_python_whatever_the_machine_has_set_up(root, monkeypatch):
    decoy = root / "jupyter" / "kernels" / "python3" / "kernel.json"
    decoy.parent.mkdir(parents=True)
    decoy.write_text('{"argv": ["/bin/false"], "display_name": "x", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(root / "jupyter"))
    monkeypatch.setenv("MIIII_RUNS", "mine")
    code = 'import os, sys\nprint(os.getcwd(), os.environ["MIIII_RUNS"])\n'
    (root / "book" / "plain.md").write_text(PLAIN.replace("import sys\n", code))
    finder = "jupyter_client.connect.LocalPortCache.find_available_port"
    with socket.create_server(("127.0.0.1", 0)) as taken:  # another program was quicker
        monkeypatch.setattr(finder, lambda *_: taken.getsockname()[1])
        pages = build.execute_stale(plan(root, p=11))
    waves, plain = (nbformat.read(pages[f"book/{name}"], 4) for name in ("waves", "plain"))
    said = [f"{root / 'book'} {root / 'mine'}", f"121 {sys.executable}"]
    assert printed(plain).splitlines() == said
    (figure,) = (cell for cell in waves.cells if "mystnb" in cell.metadata)
    assert figure.metadata.mystnb.image.alt == "a sine of period 011"
    assert any("image/png" in output.get("data", {}) for output in figure.outputs)
    assert "papermill" not in waves.metadata
    assert not any({"papermill", "execution"} & set(cell.metadata) for cell in waves.cells)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("answer = 1 / (p - 7)", ["answer = 1 / (p - 7)", "ZeroDivisionError: division by zero"]),
        ("import os; os.kill(os.getpid(), 9)", ["died"]),  # as when memory runs out
    ],
)
def test_a_failing_chapter_is_explained_and_the_others_are_kept(root, line, said):
    (root / "book" / "waves.md").write_text(WAVES.replace('print("p is", p)', line))
    with pytest.raises(build.BuildError) as caught:
        build.execute_stale(plan(root))
    for part in ("chapter waves", *said):
        assert part in str(caught.value)
    waves, plain = plan(root)
    assert not waves.result.is_file() and plain.result.is_file()


def test_two_chapters_run_at_once(root):
    meet = (
        "import pathlib, time\npathlib.Path(f'{p}.here').touch()\n"
        "while len(list(pathlib.Path().glob('*.here'))) < 2: time.sleep(0.05)\n"
    )
    for p, name in enumerate(("waves", "plain")):
        own = PLAIN.replace("import sys", meet + "import sys").replace("p = 7", f"p = {p}")
        (root / "book" / f"{name}.md").write_text(own)
    assert len(build.execute_stale(plan(root))) == 2


def test_ctrl_c_stops_the_kernels(root):
    (root / "book" / "plain.md").write_text(
        PLAIN.replace("import sys", "import os, time\nopen('pid', 'w').write(str(os.getpid()))")
        .replace("print(", "time.sleep(600)\nprint(")
    )  # fmt: skip
    code = """
        import signal
        from pathlib import Path
        from miiii_book import build
        signal.signal(signal.SIGINT, signal.default_int_handler)
        build.runs.shipped_root = lambda: Path("book/runs")
        build._run_files = lambda *_: ()
        try:
            build.execute_stale(build.plan(Path.cwd(), ["plain"], {}))
        except KeyboardInterrupt:
            print("stopped")
    """
    working = subprocess.Popen(
        [sys.executable, "-P", "-c", textwrap.dedent(code)], cwd=root, text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    until(lambda: (root / "book" / "pid").is_file() and (root / "book" / "pid").read_text())
    pid = int((root / "book" / "pid").read_text())
    working.send_signal(signal.SIGINT)
    said, complaints = working.communicate(timeout=30)
    assert said == "stopped\n" and "Traceback" not in complaints
    until(lambda: not Path(f"/proc/{pid}").exists() or zombie(pid))


def until(holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def zombie(pid):
    return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z"


def figure(outputs=(), alt="a wave", **values):
    """An executed notebook with a figure, and with values glued the way `myst_nb.glue` does it."""
    metadata = {"mystnb": {"figure": {"name": "fig-x"}, "image": {"alt": alt}}}
    shown = [nbformat.v4.new_output("display_data", data={kind: ""}) for kind in outputs]
    cells = [nbformat.v4.new_code_cell(metadata=metadata, outputs=shown)]
    for name, value in values.items():
        data, own = {build.GLUED: repr(value)}, {"scrapbook": {"name": name}}
        output = nbformat.v4.new_output("display_data", data=data, metadata=own)
        cells.append(nbformat.v4.new_code_cell(outputs=[output]))
    return nbformat.v4.new_notebook(cells=cells)


def test_alt_texts_are_filled_in_with_their_formats():
    notebook = figure(
        alt="{what}: {share:.0%} of {count:,}, {none:.1f}", what="waves", share=0.2, count=1451,
        none=np.nan,
    )  # fmt: skip
    build.fill(notebook)
    assert notebook.cells[0].metadata.mystnb.image.alt == "waves: 20% of 1,451, nan"


@pytest.mark.parametrize(
    ("alt", "why"),
    [("{share} of all", "names 'share', which"), ("{what:.2f}", "{what:.2f}' will not do: .*'f'")],
)
def test_an_alt_text_that_cannot_be_filled_is_refused(alt, why):
    with pytest.raises(build.FigureError, match=why):
        build.fill(figure(alt=alt, what="waves"))


def test_a_figure_without_a_picture_fails_unless_parameters_are_given(root):
    build.check_pictures(figure(["text/plain", "image/png"]))
    with pytest.raises(build.FigureError, match="fig-x shows text/plain"):
        build.check_pictures(figure(["text/plain"]))
    text = WAVES.replace("figure, axes = plt", "if p == 7: plt = None\nfigure, axes = plt")
    text = text.replace("figure, axes = plt.subplots()\naxes.plot", "print").replace("));", "))")
    (root / "book" / "waves.md").write_text(text)
    with pytest.raises(build.BuildError, match="chapter waves .*fig-wave shows nothing"):
        build.execute_stale(plan(root))
    build.execute_stale(plan(root, scale=2.0))


REAL = {chapter.name: chapter for chapter in chapters.read_chapters(REPOSITORY)}
QUICK = ("tasks", "model", "attention")  # of each kind one: no run, one run, two runs


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.thorough) for n in REAL]
)
def test_a_real_chapter_runs_with_tiny_parameters(name, tmp_path_factory, monkeypatch):
    base = tmp_path_factory.getbasetemp()  # which workers have below one that they share
    runs = (base.parent if base.name.startswith("popen-") else base) / "runs"
    monkeypatch.setenv("MIIII_RUNS", str(runs))
    own = REAL[name].defaults
    given = {n: v for n, v in TINY.items() if n in own and v != own[n]}
    assert "Warning" not in printed(build.execute(REAL[name], given, []))


def test_every_figure_of_the_book_has_an_alternative_text():
    for chapter in REAL.values():
        for cell in chapter.notebook().cells:
            mystnb = cell.metadata.get("mystnb", {})
            assert ("figure" in mystnb) == bool(mystnb.get("image", {}).get("alt")), cell.source
