"""The commands that README and chapters tell to type: what they name is there, and fits."""

import re
import shlex
from pathlib import Path

import click
import pytest

from miiii_core import cli
from miiii_core.presets import PRESETS, preset
from miiii_core.publishing import chapters
from miiii_core.runs import LARGE_P
from miiii_core.storage.shipped import find_shipped

ROOT = Path(__file__).parent.parent
PAGES = {page.name: page.read_text() for page in (ROOT / "README.md", *ROOT.glob("book/*.md"))}
CHAPTERS = chapters.read_chapters(ROOT)
ANY_TASK = {"numerics"}  # chapters that take a run of whatever task


def typed(text):
    """The lines of a page's shell blocks and indented commands, broken ones put together."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S) + re.findall(r"^    (miiii .*)", text, re.M)
    return [line for block in blocks for line in re.sub(r"(\||\\)\n", r"\1 ", block).splitlines()]


def ours(line):
    """The words after ``miiii``, if that is what a line runs."""
    found = re.match(r"(?:\.venv/bin/)?miiii (.*)", line.strip())
    return shlex.split(found[1].replace("$PWD/", ""), comments=True) if found else None


COMMANDS = [
    (page, words) for page, text in PAGES.items() for words in map(ours, typed(text)) if words
]
BOOK = [(page, words) for page, words in COMMANDS if words[0] == "book"]
NOTEBOOKS = [(page, line) for page, text in PAGES.items() for line in typed(text) if "| " in line]


def named(case):
    return f"{case[0]}: {case[1] if isinstance(case[1], str) else ' '.join(case[1])}"


def parsed(words):
    """A command of ours and the options that it was given."""
    command = cli.miiii.commands[words[0]]
    context = command.make_context(words[0], words[1:])
    return {name: value for name, value in context.params.items() if value not in (None, ())}


def made_on(page):
    """Presets of the folders that a page's commands make, by folder."""
    trained = [parsed(words) for where, words in COMMANDS if where == page and words[0] == "train"]
    usual = {c.path.name: c.defaults.get("run", "miiii-small") for c in CHAPTERS}
    # A page need not say how a run of one's own came about.
    own = {"my-run": usual.get(page, "miiii-small")}
    return own | {str(o["out"]): o["base"] for o in trained if "out" in o}


def check_given(taken, parameters, made):
    """Chapters have what they are given, and the runs are of their kind and there."""
    chapters.check_parameters(taken, parameters)
    for chapter in taken:
        given = {**chapter.defaults, **chapters.changed(chapter, parameters)}
        changes = {n: given[n] for n in ("p", "seed", "epochs") if given.get(n) is not None}
        for name in filter(chapters.names_runs, set(parameters) & set(chapter.defaults)):
            if isinstance(given[name], str) and chapter.name not in ANY_TASK:
                kinds = [preset(made.get(r, r)) for r in (given[name], chapter.defaults[name])]
                assert kinds[0].task.name == kinds[1].task.name, f"{chapter.name}: {name}"
        for run in chapters.named_runs(given) if changes or "run" in parameters else ():
            config = preset(made.get(run, run)).replace(**changes)
            is_there = run in made or config.task.p < LARGE_P or find_shipped(config, rounded=True)
            assert is_there, f"{chapter.name}: {run} is not there"


def test_there_are_commands_to_check():
    assert len(COMMANDS) > 40 and len(BOOK) > 20 and len(NOTEBOOKS) > 10


@pytest.mark.parametrize("case", COMMANDS, ids=named)
def test_every_command_and_option_exists(case):
    page, words = case
    options = parsed(words)
    assert str(options.get("out", "")) not in PRESETS, "a preset's name is no folder's"
    for run in options.get("named", ()):
        assert run in {*PRESETS, *made_on(page)}


def test_no_example_is_a_command_that_click_would_refuse():
    """Guards the check above: had it gone blind, it would pass this too."""
    with pytest.raises(click.UsageError):
        parsed(["train", "--preset", "none"])


@pytest.mark.parametrize("case", BOOK, ids=named)
def test_the_chapters_can_be_put_on_the_runs(case):
    page, words = case
    options = parsed(words)
    given = chapters.parse_parameters(options.get("pairs", ()))
    given |= {"run": options["run"]} if "run" in options else {}
    check_given(chapters.choose(CHAPTERS, options.get("chapters")), given, made_on(page))


@pytest.mark.parametrize("case", NOTEBOOKS, ids=named)
def test_papermill_is_given_what_the_chapter_takes(case):
    page, line = case
    chapter = re.search(r"book/(\w+)\.md", line)[1]
    given = re.findall(r"-p (\w+) (\S+)", line.replace('"$PWD/', "").replace('"', ""))
    pairs = [f"{name}={value}" for name, value in given]
    taken = chapters.choose(CHAPTERS, [chapter])
    check_given(taken, chapters.parse_parameters(pairs), made_on(page))
