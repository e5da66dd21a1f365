import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from types import SimpleNamespace
from typing import Literal, get_args, get_origin

import jax
import pytest
from tiny import contents

from miiii_core import cli, report, runs
from miiii_core.config import Config, field_type, fields
from miiii_core.presets import PRESETS, train_command
from miiii_core.runs import RunError
from miiii_core.storage.recorder import Interrupted
from miiii_core.training.train import TrainingDiverged


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """No test writes among the book's runs."""
    monkeypatch.setenv("MIIII_RUNS", str(tmp_path / "root"))
    monkeypatch.setenv("MIIII_SHIPPED", str(tmp_path / "shelf"))
    return tmp_path / "root"


@pytest.fixture
def refused(run):
    """Run what must be refused in one line; gives the exit code and that line."""

    def call(*arguments):
        code, out, err = run(*arguments)
        assert out == "" and err.startswith("miiii: ") and err.count("\n") == 1, (out, err)
        return code, err

    return call


@pytest.fixture
def asked(monkeypatch):
    """What would be trained; nothing is."""
    calls = []

    def train(config, folder, **options):
        calls.append(SimpleNamespace(config=config, folder=folder, **options))

    monkeypatch.setattr(runs, "train", train)
    return calls


@pytest.fixture
def copy(tiny_run, tmp_path):
    return shutil.copytree(tiny_run.folder, tmp_path / "copy")


# Options


def another_value(name):
    """A value that a field takes and does not have by default."""
    kind, default = field_type(name), getattr_flat(Config(), name)
    if get_origin(kind) is Literal:
        return next(choice for choice in get_args(kind) if choice != default)
    if get_origin(kind) is tuple:
        return default[1:]
    special = {"p": 31, "d_model": 64, "n_heads": 8}
    return special.get(name, default / 2 if kind is float else default + 1)


def getattr_flat(config, name):
    sections = (config.task, config.model, config.optim, config.train)
    return next(getattr(s, name) for s in sections if hasattr(s, name))


@pytest.mark.parametrize("name", list(fields()))
def test_every_field_is_an_option(run, asked, name):
    value = another_value(name)
    text = ",".join(map(str, value)) if isinstance(value, tuple) else value
    code, _, err = run("train", "--quiet", f"--{name.replace('_', '-')}", text)
    assert code == 0, err
    assert asked[0].config == Config().replace(**{name: value})


def test_help_shows_every_option_with_its_meaning_and_default(run):
    code, out, _ = run("train", "--help")
    words = " ".join(out.split())
    assert code == 0
    for name, field in fields().items():
        assert f"--{name.replace('_', '-')}" in words
        assert field.metadata["help"].split()[0] in words
    for default in ("[113]", "[0.0003]", "[2,3,5,7]", "[norms,zero_loss,"):
        assert default in words.replace(" ", ""), "wherever the line was broken"


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_is_a_start(run, asked, root, name):
    assert run("train", "--preset", name, "--epochs", 7, "--device", "cpu", "--quiet")[0] == 0
    config = PRESETS[name].replace(epochs=7)
    assert asked[0].config == config
    assert asked[0].folder == root / f"{name}-{config.digest}"
    assert (asked[0].device, asked[0].progress) == ("cpu", False)


def test_task_is_another_word_for_name(run, asked, tmp_path):
    assert run("train", "--quiet", "--task", "nanda", "--out", tmp_path / "here")[0] == 0
    assert asked[0].config.task.name == "nanda" and asked[0].folder == tmp_path / "here"


def test_no_probes_is_an_empty_list(run, asked):
    assert run("train", "--quiet", "--probes", "")[0] == 0
    assert asked[0].config.train.probes == ()


def test_without_a_command_the_commands_are_listed(run):
    code, out, err = run()
    assert code == 0 and err == ""
    for name in ("train", "resume", "search", "runs", "pack", "show", "book"):
        assert f"\n  {name} " in out


def test_version(run):
    code, out, _ = run("--version")
    assert code == 0 and out.startswith("miiii, version ")


def test_asking_for_help_does_not_load_jax():
    script = (
        "import sys; from miiii_core import cli; cli.main.__call__; "
        "assert not {'jax', 'matplotlib', 'papermill'} & set(sys.modules), 'slow'"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# Wrong input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--p", 12), "p=12 will not do; it takes a prime"),
        (("--p", 3), "p=3 will not do; it takes a prime of at least 5"),
        (("--p", "--preset"), "'--p'"),
        (("--p", "x"), "'x' is not a valid integer"),
        (("--p", 2003), "p=2003 with d_model=256 needs about"),
        (("--train-fraction", 0.00001), "leaves the training split"),
        (("--train-fraction", 0.99999), "leaves the validation split"),
        (("--train-fraction", 1.5), "train_fraction=1.5 will not do"),
        (("--d-model", 30), "n_heads=4 will not do; it takes a divisor of d_model=30"),
        (("--learning-rate", "nan"), "learning_rate=nan will not do; it takes a finite number"),
        (("--task", "nand"), "'nand' is not one of 'miiii', 'nanda'"),
        (("--preset", "nandas"), "'nandas' is not one of 'miiii'"),
        (("--probes", "norms,spectra"), "'spectra' is not one of 'norms', 'zero_loss'"),
        (("--masked", "2,x"), "'x' is not a valid integer"),
        (("--learning-rat", 1), "Did you mean"),
        (("--device", "tpu"), "'tpu' is not one of 'auto', 'cpu', 'gpu'"),
        (("folder",), "unexpected extra argument (folder)"),
    ],
)
def test_wrong_input_is_refused_in_one_line(refused, root, arguments, words):
    code, line = refused("train", *arguments)
    assert code == 2 and words in line
    assert not [path for path in root.glob("*") if path.is_dir()]


def test_an_unknown_command_is_refused(refused):
    code, line = refused("trian")
    assert code == 2 and "No such command 'trian'" in line and "See: miiii --help" in line


def test_an_absent_gpu_is_refused(refused, monkeypatch):
    def only_cpu(platform=None):
        if platform == "gpu":
            raise RuntimeError("Unknown backend: 'gpu' requested")
        return [jax.local_devices(backend="cpu")[0]]

    monkeypatch.setattr(jax, "devices", only_cpu)
    code, line = refused("train", "--p", 7, "--device", "gpu")
    assert code == 2 and "JAX sees only cpu" in line and "choose auto or cpu" in line


def test_an_occupied_folder_is_refused_and_untouched(refused, copy):
    before = contents(copy)
    code, line = refused("train", "--out", copy)
    assert code == 1 and "never overwritten; choose another folder" in line
    code, line = refused("resume", copy)
    assert code == 1 and "there is nothing to resume" in line
    assert contents(copy) == before


def test_an_unwritable_or_full_disk_is_found_first(refused, tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("mine")
    code, line = refused("train", "--p", 7, "--out", tmp_path / "taken" / "run")
    assert code == 1 and "cannot write to" in line
    full = SimpleNamespace(f_bavail=0, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    code, line = refused("train", "--p", 7, "--out", tmp_path / "new")
    assert code == 1 and "has 0 MB of room" in line


@pytest.mark.parametrize("command", ["resume", "show"])
def test_a_folder_without_a_whole_run_is_refused(refused, copy, tmp_path, command):
    code, line = refused(command, tmp_path / "none")
    assert code == 1 and "there is no run in" in line
    (copy / "run.json").write_text("{")
    code, line = refused(command, copy)
    assert code == 1 and "run.json is damaged" in line
    assert refused(command)[0] == 2


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

    monkeypatch.setattr(runs, "train", fail)
    found, line = refused("train")
    assert found == code and (str(error) or "stopped") in line


def test_a_mistake_in_the_code_keeps_its_traceback(monkeypatch):
    def fail(*_, **__):
        raise TypeError("ours")

    monkeypatch.setattr(runs, "train", fail)
    with pytest.raises(TypeError, match="ours"):
        cli.main(["train"])


# Training, listing, showing


def test_train_says_how_it_went_and_where_it_is(run, tiny_run, monkeypatch):
    monkeypatch.setattr(runs, "train", lambda *_, **__: tiny_run)
    code, out, _ = run("train")
    mean = tiny_run.metrics.split("accuracy", "validation")[-1].mean()
    assert code == 0
    assert out.startswith(f"finished {tiny_run.folder} at epoch 40: ") and f"{mean:.3f}" in out
    assert out.rstrip().endswith(f"miiii show {tiny_run.folder}")


def test_runs_are_listed(run, copy, tmp_path):
    code, out, _ = run("runs", "--root", tmp_path)
    header, line = out.splitlines()
    assert code == 0 and header.split() == list(report.COLUMNS)
    assert line.split()[:5] == ["copy", "miiii", "7", "finished", "40/40"]
    assert len(header) == len(line)


def test_no_runs_are_said_to_be_none(run, root):
    assert run("runs") == (0, f"no runs in {root}\n", "")


def test_damaged_runs_are_shown_as_such(run, copy, tmp_path):
    (copy / "weights.npz").write_bytes(b"")
    assert run("runs", "--root", tmp_path)[0] == 0
    code, out, _ = run("runs", "--root", tmp_path, "--verify")
    assert code == 1 and f"damaged: {copy / 'weights.npz'}" in out
    (copy / "run.json").write_text("{}")
    code, out, _ = run("runs", "--root", tmp_path)
    assert code == 0 and f"damaged: {copy}/run.json" in out


@pytest.mark.parametrize("root", ["typo", "file"])
def test_a_root_that_is_no_folder_is_refused(refused, tmp_path, root):
    (tmp_path / "file").touch()
    code, line = refused("runs", "--root", tmp_path / root, "--verify")
    assert code == 2 and "--root" in line and str(tmp_path / root) in line


def test_claims_name_the_runs_that_they_leave_out(run, copy, root):
    _, broken = (shutil.copytree(copy, root / name) for name in ("whole", "broken"))
    (broken / "metrics.npz").write_bytes(b"")
    code, out, err = run("claims", "--claim", "hyperparameters")
    (line,) = err.splitlines()
    assert code == 0 and line.startswith(f"damaged, left out: {broken / 'metrics.npz'}")
    assert "whole: p = 7" in out and "broken:" not in out


def test_shipped_runs_are_listed_and_verified(run, copy, root, tmp_path):
    run("pack", copy)
    code, out, _ = run("runs", "--verify")
    assert code == 0
    none, _, title, header, line = out.splitlines()
    assert none == f"no runs in {root}"
    assert title == f"shipped with the repository, in {tmp_path / 'shelf'}:"
    assert header.split() == list(report.COLUMNS) and line.split()[:2] == ["copy", "miiii"]
    assert run("runs", "--root", tmp_path / "shelf")[1].splitlines() == [header, line]
    (tmp_path / "shelf" / "copy" / "notes").touch()
    assert run("runs")[0] == 0
    code, out, _ = run("runs", "--verify")
    assert code == 1
    assert out.endswith(f"\ndamaged: {tmp_path / 'shelf' / 'copy' / 'notes'} is not listed\n")


def test_a_damaged_cache_is_reported_beside_whole_shipped_runs(run, copy, root):
    run("pack", copy)
    shutil.copytree(copy, root / "copy")
    (root / "copy" / "weights.npz").write_bytes(b"")
    code, out, _ = run("runs", "--verify")
    assert code == 1 and f"damaged: {root / 'copy' / 'weights.npz'}" in out


def test_a_run_is_packed(run, copy, tmp_path):
    code, out, _ = run("pack", copy)
    assert code == 0
    assert out.startswith(f"packed {tmp_path / 'shelf' / 'copy'}: 0.") and " MB, " in out
    assert "4 of 4 snapshots, as recorded; commit it and the manifest" in out
    code, out, _ = run("pack", copy, "--name", "mine")
    assert code == 0 and (tmp_path / "shelf" / "mine" / "run.json").is_file()
    code, out, _ = run("show", tmp_path / "shelf" / "mine")
    assert code == 0 and "finished at epoch 40 of 40" in out


def test_what_cannot_be_packed_is_refused(refused, copy, tmp_path, monkeypatch):
    code, line = refused("pack", tmp_path / "none")
    assert code == 1 and "there is no run in" in line
    code, line = refused("pack", copy, "--room", "0.001")
    assert code == 1 and "MB more than the 0.001 MB" in line
    code, line = refused("pack", copy, "--room", "-1")
    assert code == 2 and "--room" in line
    code, line = refused("pack", copy, "--name", "../elsewhere")
    assert code == 2 and "name='../elsewhere' will not do; it takes a plain name" in line
    info = runs.load(copy).info
    runs.save_info(copy, info | {"status": "interrupted"})
    code, line = refused("pack", copy)
    assert code == 1 and "only a finished run can be packed" in line
    monkeypatch.delenv("MIIII_SHIPPED")
    monkeypatch.chdir(tmp_path)
    code, line = refused("pack", copy)
    assert code == 1 and "no book here" in line and "inside a clone" in line
    assert not (tmp_path / "shelf").exists()


def test_a_run_is_shown(run, tiny_run):
    code, out, _ = run("show", tiny_run.folder)
    assert code == 0
    assert out.startswith(f"{tiny_run.folder}: finished at epoch 40 of 40, ")
    assert "as preset miiii, with\n  p = 7 (preset: 113)\n" in out
    accuracy = tiny_run.metrics["accuracy"]
    for i, q in enumerate((2, 3, 5)):
        (line,) = (line for line in out.splitlines() if line.startswith(f"mod {q} "))
        assert line.split()[2:4] == [f"{accuracy[-1, s, i]:.3f}" for s in (0, 1)]


def test_a_run_stopped_early_is_listed_and_shown(run, copy, tmp_path):
    info = json.loads((copy / "run.json").read_text())
    del info["checksum"]
    runs.save_info(copy, info | {"status": "running", "epoch": 0})
    for name in ("metrics.npz", "weights.npz"):
        (copy / name).unlink()
    code, out, _ = run("runs", "--root", tmp_path, "--verify")
    assert code == 0 and "running   0/40           -      -" in out
    code, out, _ = run("show", copy)
    assert code == 0 and out.endswith("nothing was recorded yet\n")


@pytest.mark.parametrize("name", list(fields()))
def test_what_is_said_to_be_typed_trains_that_run(run, asked, name):
    config = Config().replace(**{name: another_value(name)})
    miiii, *arguments = shlex.split(train_command(config))
    assert miiii == "miiii" and run(*arguments, "--quiet")[0] == 0
    assert asked[0].config == config


# The book


def test_book_passes_on_run_parameters_and_chapters(run, monkeypatch, tmp_path):
    asked = []

    def make_book(*arguments):
        asked.append(arguments)
        return tmp_path / "index.html"

    monkeypatch.setattr("miiii_core.publishing.site.make_book", make_book)
    monkeypatch.setattr("miiii_core.publishing.chapters.find_root", lambda: tmp_path)
    code, out, _ = run(
        "book", "--run", "nanda-small", "-p", "p=11", "-p", "x=a", "--chapter", "model"
    )
    assert code == 0 and out == f"open {tmp_path / 'index.html'}\n"
    run("book")
    assert asked == [
        (tmp_path, ("model",), {"p": 11, "x": "a"}, "nanda-small"),
        (tmp_path, None, {}, None),
    ]


def test_book_refuses_in_one_line(refused, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, line = refused("book")
    assert code == 1 and "no book at" in line and "inside a clone" in line


@pytest.mark.parametrize(("module", "name"), [("book", "ChapterError"), ("site", "SiteError")])
def test_chapters_and_pages_that_fail_are_reported(refused, monkeypatch, tmp_path, module, name):
    error = getattr(__import__(f"miiii_core.publishing.{module}", fromlist=[name]), name)

    def fail(*_):
        raise error("in code cell 3")

    monkeypatch.setattr("miiii_core.publishing.chapters.find_root", lambda: tmp_path)
    monkeypatch.setattr("miiii_core.publishing.site.make_book", fail)
    code, line = refused("book")
    assert code == 1 and "in code cell 3" in line


def test_book_without_its_tools_says_what_to_install(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "papermill", None)
    for name in ("miiii_core.publishing.book", "miiii_core.publishing.site"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    code, line = refused("book")
    assert code == 1 and "the book needs papermill" in line
    assert "pip install 'miiii-core[book]'" in line


def test_unknown_chapter_parameters_are_refused(run):
    code, _, err = run("book", "-p", "no_such_parameter=3")
    assert code == 2 and err.startswith("miiii: unknown parameter 'no_such_parameter'; accepted")
    assert "p=" in err


# Searching


@pytest.fixture
def searched(monkeypatch):
    """What would be searched; nothing is trained."""
    search = pytest.importorskip("miiii_core.search")
    calls = []
    found = [
        search.Result(3, {"dropout": 0.1, "n_heads": 4}, 0.5, 0.75, 64, False),
        search.Result(1, {"dropout": 0.2, "n_heads": 8}, 0.25, 0.5, 8, True),
    ]

    def pretend(config, space, n_trials, **options):
        calls.append(SimpleNamespace(config=config, space=space, trials=n_trials, **options))

    monkeypatch.setattr(search, "search", pretend)
    monkeypatch.setattr(search, "results", lambda study: found)
    return calls


def test_a_search_starts_from_the_papers_space_and_prints_the_best(run, searched):
    code, out, err = run("search")
    (call,) = searched
    assert code == 0 and err == ""
    assert call.config == PRESETS["miiii"] and call.trials == 32
    assert call.space["weight_decay"] == (0.0, 0.1, 0.5, 1.0) and call.space["d_model"] == (
        128,
        256,
    )
    assert (call.batch, call.seed, call.name, call.storage) == (1, 0, None, None)
    assert re.search(r"trial +dropout +n_heads +loss +accuracy +epoch\n", out)
    assert re.search(r"\n3 +0.1 +4 +0.5000 +0.750 +64\n", out)
    assert re.search(r"\n1 +0.2 +8 +0.2500 +0.500 +8 \(pruned\)\n2 trials, 1 of them pruned", out)


def test_every_option_of_a_search_counts(run, searched):
    options = (
        "--preset",
        "miiii-small",
        "--trials",
        5,
        "--batch",
        3,
        "--storage",
        "sqlite:///x.db",
    )
    options += ("--study", "mine", "--seed", 7, "--quiet", "--p", 13, "--device", "cpu")
    choices = ("--choice", "dropout=0,0.3", "--choice", "mlp-ratio=2,4")
    code, out, _ = run("search", *options, *choices)
    (call,) = searched
    assert code == 0 and out == ""
    assert call.config == PRESETS["miiii-small"].replace(seed=7, p=13)
    assert call.space["dropout"] == (0.0, 0.3) and call.space["mlp_ratio"] == (2, 4)
    assert call.space["d_model"] == (32, 64), "small models for a small p"
    assert (call.trials, call.batch, call.name, call.seed) == (5, 3, "mine", 7)
    assert call.storage == "sqlite:///x.db" and call.progress is False


@pytest.mark.parametrize(
    "choice, message",
    [
        ("dropout", "write it as field=a,b like dropout=0,0.1"),
        ("dropuot=1", "no field is called dropuot; fields are"),
        ("n-heads=four", "n_heads=four will not do: 'four' is not a valid integer"),
        ("precision=float16", "precision=float16 will not do: 'float16' is not one of"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(refused, searched, choice, message):
    code, err = refused("search", "--choice", choice)
    assert code == 2 and message in err and not searched


def test_a_storage_that_fails_is_one_line(refused, monkeypatch):
    code, err = refused("search", "--preset", "miiii-small", "--storage", "nonsense")
    assert code == 1 and "the storage nonsense cannot be used" in err


def test_a_search_without_its_library_says_how_to_add_it(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "miiii_core.search", raising=False)
    monkeypatch.delattr("miiii_core.search", raising=False)
    code, err = refused("search")
    assert (
        code == 1 and "a search needs optuna" in err and "pip install 'miiii-core[search]'" in err
    )
