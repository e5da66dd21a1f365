import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from types import SimpleNamespace

import click
import jax
import pytest
from tiny import OTHER

from miiii_core import batch, cli, runs, stored
from miiii_core.config import Config
from miiii_core.presets import PRESETS, train_command
from miiii_core.runs import Interrupted, RunError
from miiii_core.train import TrainingDiverged

pytestmark = pytest.mark.usefixtures("root")  # no test writes among the book's runs


@pytest.fixture
def refused(command):
    """Run what must be refused in one line; gives the exit code and that line."""

    def call(*arguments):
        code, out, err = command(*arguments)
        assert out == "" and err.startswith("miiii: ") and err.count("\n") == 1, (out, err)
        return code, err

    return call


@pytest.fixture
def asked(monkeypatch, tiny_run):
    """What would be trained, by folder; nothing is."""
    calls = []

    def train_many(configs, **options):
        calls.append(SimpleNamespace(configs=configs, **options))
        return [tiny_run] * len(configs)

    monkeypatch.setattr(runs, "train_many", train_many)
    return calls


# Options


@pytest.mark.parametrize("name", OTHER)
def test_every_field_is_an_option_and_what_is_said_to_be_typed_is_read(command, asked, name):
    config = Config().replace(**{name: OTHER[name]})
    value = config.values[name]
    text = ",".join(map(str, value)) if isinstance(value, tuple) else value
    miiii, *typed = shlex.split(train_command(config))
    assert miiii == "miiii"
    for arguments in (["train", f"--{name.replace('_', '-')}", text], typed):
        code, _, err = command(*arguments, "--quiet")
        assert code == 0, err
        assert list(asked.pop().configs.values()) == [config]


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_is_a_start(command, asked, root, name):
    options = ("--preset", name, "--epochs", 7, "--device", "cpu", "--quiet")
    assert command("train", *options)[0] == 0
    config = PRESETS[name].replace(epochs=7)
    assert asked[0].configs == {root / f"{name}-{config.digest}": config}
    assert (asked[0].device, asked[0].progress) == ("cpu", False)


def test_several_values_are_trained_at_once_in_every_combination(command, asked, tmp_path, root):
    typed = ("--seed", "0,1", "--grokfast-lambda", "0,2.5", "--dropout", "0", "--p", 11)
    code, out, err = command("train", *typed, "--out", tmp_path)
    assert code == 0 and err == "" and out.startswith("run ")
    found = asked[0].configs
    assert [folder.name for folder in found] == [
        "seed=0,grokfast_lambda=0", "seed=0,grokfast_lambda=2.5",
        "seed=1,grokfast_lambda=0", "seed=1,grokfast_lambda=2.5",
    ]  # fmt: skip
    last = Config().replace(seed=1, grokfast_lambda=2.5, dropout=0.0, p=11)
    assert found[tmp_path / "seed=1,grokfast_lambda=2.5"] == last
    assert command("train", "--seed", "0,1", "--quiet")[0] == 0
    assert [folder.parent for folder in asked[1].configs] == [root, root]


# Commands of other packages


@pytest.fixture
def added(monkeypatch):
    """A command by an entry point."""
    listed = EntryPoints([EntryPoint("more", "test_cli:more", "miiii.commands")])
    monkeypatch.setattr(cli, "entry_points", lambda group: listed.select(group=group))
    monkeypatch.setattr(cli.miiii, "commands", dict(cli.miiii.commands))


@click.command()
@click.option("--fail", is_flag=True)
def more(fail):
    """Do more."""
    if fail:
        raise click.ClickException("nothing more")
    click.echo("done")


def test_commands_of_other_packages_stand_beside_our_own(command, refused, added):
    code, out, err = command()
    assert code == 0 and err == ""
    for name in ("train", "resume", "runs", "show"):
        assert f"\n  {name} " in out
    assert re.search(r"\n  more +Do more\.", out)
    assert command("more") == (0, "done\n", "")
    assert refused("more", "--fail") == (1, "miiii: nothing more\n")


@pytest.mark.parametrize("typed, words", [
    ("--help", "Commands:"), ("--version", "miiii, version "), ("runs --root {}", "finished"),
])  # fmt: skip
def test_what_computes_nothing_does_not_load_jax(typed, words, tiny_run):
    script = """
import sys
from miiii_core import cli
try:
    cli.main(sys.argv[1:])
finally:
    heavy = {'jax', 'equinox', 'optax', 'matplotlib', 'IPython', 'papermill', 'optuna'}
    assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    arguments = typed.format(tiny_run.folder.parent).split()
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True)
    assert done.returncode == 0 and words in done.stdout.decode(), done.stderr


# Wrong input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--p", 12), "p=12 is not accepted; give a prime"),
        (("--p", "--preset"), "'--p'"),
        (("--p", "x"), "'x' is not a valid integer"),
        (("--p", 2003), "p=2003 and d_model=256 needs about"),
        (("--d-model", 30), "n_heads=4 is not accepted; give a divisor of d_model=30"),
        (("--task", "nand"), "'nand' is not one of 'miiii', 'nanda'"),
        (("--probes", "norms,spectra"), "'spectra' is not one of 'norms', 'zero_loss'"),
        (("--seed", "0,x"), "'x' is not a valid integer"),
        (("--seed", "0,0"), "seed='0,0' is not accepted; give values, each of them once"),
        (("--seed", ""), "seed='' is not accepted"),
        (("--learning-rat", 1), "Did you mean"),
        (("folder",), "unexpected extra argument (folder)"),
    ],
)
def test_wrong_input_is_refused_in_one_line(refused, root, arguments, words):
    code, line = refused("train", *arguments)
    assert code == 2 and words in line
    assert not [path for path in root.glob("*") if path.is_dir()]


def test_commands_and_folders_that_will_not_do_are_refused(refused, copy, tmp_path):
    (tmp_path / "taken").write_text("mine")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text("{")
    for code, words, typed in (
        (2, "No such command 'trian'", ["trian"]),
        (2, "See: miiii --help", ["trian"]),
        (2, "Missing argument", ["resume"]),
        (1, "nothing there is overwritten; choose", ["train", "--out", copy]),
        (1, "there is nothing to resume", ["resume", copy]),
        (1, "cannot write to", ["train", "--p", 7, "--out", tmp_path / "taken" / "run"]),
        (1, "there is no run in", ["resume", tmp_path / "none"]),
        (1, "there is no run in", ["show", tmp_path / "none"]),
        (1, "run.json is damaged", ["show", tmp_path / "damaged"]),
    ):
        found, line = refused(*typed)
        assert found == code and words in line


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TrainingDiverged("the loss became nan at epoch 7"), 1),
        (RunError("another process is training"), 1),
        (OSError("disk is full"), 1),
        (MemoryError("no memory left"), 1),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED"), 1),
        (Interrupted("stopped at epoch 7; go on with: miiii resume x"), 130),
        (KeyboardInterrupt(), 130),
    ],
)
def test_what_fails_in_training_is_said_in_one_line(refused, monkeypatch, error, code):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(runs, "train_many", fail)
    found, line = refused("train")
    assert found == code and (str(error) or "stopped") in line


def test_a_mistake_in_the_code_keeps_its_traceback(monkeypatch):
    def fail(*_, **__):
        raise TypeError("ours")

    monkeypatch.setattr(runs, "train_many", fail)
    with pytest.raises(TypeError, match="ours"):
        cli.main(["train"])


# Training, listing, showing


def test_train_and_resume_say_how_it_went(command, tiny_run, asked, monkeypatch):
    monkeypatch.setattr(runs, "resume", lambda *_, **__: tiny_run)
    for typed in (["train"], ["resume", "somewhere"]):
        code, out, _ = command(*typed)
        assert code == 0 and out == command("show", tiny_run.folder)[1]
        assert command(*typed, "--quiet") == (0, "", "")


def test_those_that_diverged_are_named(command, tiny_run, monkeypatch, tmp_path):
    info = json.loads(json.dumps(tiny_run.info)) | {"status": "diverged"}
    broken = runs.Run(tiny_run.folder, info, tiny_run.config)
    monkeypatch.setattr(runs, "train_many", lambda *_, **__: [tiny_run, broken])
    code, _, err = command("train", "--seed", "0,1", "--out", tmp_path)
    assert code == 1 and err == f"miiii: the loss did not stay finite in {tiny_run.folder}\n"


def test_runs_are_listed_and_the_damaged_said_to_be(command, copy, root, tmp_path):
    shelf = tmp_path / "shelf"
    assert command("runs") == (0, f"no runs in {root}\n\nno runs in {shelf}\n\n", "")
    shutil.copytree(copy, root / "mine")
    shutil.copytree(copy, shelf / "theirs")
    code, out, _ = command("runs", "--verify")
    assert code == 0
    title, header, line, _, other, _, last, _ = out.splitlines()
    assert (title, other) == (f"{root}:", f"{shelf}:")
    assert header.split() == list(cli.COLUMNS) and len(header) == len(line)
    assert line.split()[:5] == ["mine", "miiii", "7", "finished", "40/40"]
    assert last.split()[0] == "theirs"
    (shelf / "theirs" / "weights.npz").write_bytes(b"")
    assert command("runs")[0] == 0
    code, out, _ = command("runs", "--verify")
    assert code == 1 and f"damaged: {shelf / 'theirs' / 'weights.npz'}" in out
    (root / "mine" / "run.json").write_text("{}")
    code, out, _ = command("runs", "--root", root)
    assert code == 0 and f"damaged: {root}/mine/run.json" in out and "theirs" not in out


def test_a_run_is_shown(command, tiny_run):
    code, out, _ = command("show", tiny_run.folder)
    assert code == 0
    assert out.startswith(f"{tiny_run.folder}: finished at epoch 40 of 40, ")
    assert "as preset miiii, with\n  p = 7 (preset: 113)\n" in out
    accuracy = tiny_run.metrics["accuracy"]
    for i, q in enumerate((2, 3, 5)):
        (line,) = (line for line in out.splitlines() if line.startswith(f"mod {q} "))
        assert line.split()[2:4] == [f"{accuracy[-1, s, i]:.3f}" for s in (0, 1)]


def test_a_run_killed_before_its_first_save_is_listed_and_shown(command, tmp_path, tiny_run):
    first = stored.first_info(tiny_run.config, batch.find_device("cpu"))
    (tmp_path / "run").mkdir()
    stored.Recorder(tmp_path / "run", tiny_run.config, first)
    code, out, _ = command("runs", "--root", tmp_path, "--verify")
    assert code == 0 and "running   0/40           -      -" in out
    code, out, _ = command("show", tmp_path / "run")
    assert code == 0 and out.endswith("nothing was recorded yet\n")
