import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from tiny import TINY, WRITTEN, assert_same_run, contents

from miiii_core import runs
from miiii_core.presets import train_command
from miiii_core.runs import RunError, cached, find_runs, runs_root
from miiii_core.storage import provenance, recorder, saved
from miiii_core.storage.recorder import Interrupted, Recorder
from miiii_core.storage.shipped import pack
from miiii_core.training import devices
from miiii_core.training.train import Progress, TrainingDiverged, initial_state, task_of


@pytest.fixture
def copy(tiny_run, tmp_path):
    return shutil.copytree(tiny_run.folder, tmp_path / "copy")


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MIIII_RUNS", str(tmp_path / "root"))
    monkeypatch.setenv("MIIII_SHIPPED", str(tmp_path / "shelf"))
    return tmp_path / "root"


@pytest.fixture
def kept(root, tiny_run):
    """The tiny run, where the cache looks for it."""
    folder, _ = runs.cache_folder(TINY)
    return shutil.copytree(tiny_run.folder, folder)


def train(folder, config=TINY, **options):
    return runs.train(config, folder, progress=False, **options)


def resume(folder, **options):
    return runs.resume(folder, progress=False, **options)


# Folders that are not free


def test_another_config_is_refused_and_untouched(copy):
    before = contents(copy)
    with pytest.raises(RunError, match="holds another run .* never overwritten; choose another"):
        train(copy, TINY.replace(seed=1))
    assert contents(copy) == before


def test_the_same_run_finished_is_refused_and_untouched(copy):
    before = contents(copy)
    with pytest.raises(RunError, match="finished at epoch 40; look at it with: miiii show"):
        train(copy)
    with pytest.raises(RunError, match="finished at epoch 40: there is nothing to resume"):
        resume(copy)
    assert contents(copy) == before


def test_foreign_files_are_refused_and_untouched(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="not empty and holds no run; choose a new or empty"):
        train(tmp_path / "out")
    assert contents(tmp_path / "out") == {"thesis.tex": b"years of work"}


def test_a_damaged_run_in_the_way_is_refused(copy):
    (copy / "run.json").write_text("{")
    with pytest.raises(RunError, match="run.json is damaged"):
        train(copy)


def test_resume_needs_a_run_and_leaves_no_lock(tmp_path):
    with pytest.raises(RunError, match="there is no run in"):
        resume(tmp_path / "none" / "here")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("way", [".", "../way/."])
def test_an_empty_folder_is_free_when_one_stands_in_it(tmp_path, monkeypatch, tiny_run, way):
    (tmp_path / "way").mkdir()
    monkeypatch.chdir(tmp_path / "way")
    monkeypatch.setattr(runs, "record_training", lambda recorder, *_, **__: None)
    assert train(way).config == tiny_run.config
    assert (tmp_path / "way" / "run.json").is_file()
    with pytest.raises(RunError, match=r"go on with: miiii resume"):
        train(tmp_path / "way")


# Found before training starts


@pytest.fixture
def nothing_trained(monkeypatch):
    def fail(*_):
        raise AssertionError("training was set up")

    monkeypatch.setattr(runs, "initial_state", fail)
    monkeypatch.setattr(runs, "task_of", fail)


def test_a_full_disk_is_found_first(tmp_path, monkeypatch, nothing_trained):
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=1, f_frsize=1000))
    with pytest.raises(OSError, match="has 0 MB of room and the run needs"):
        train(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("out", ["taken", "taken/out", "taken/below/out"])
def test_a_file_in_place_of_the_folder_is_found_first(tmp_path, out, nothing_trained):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises((OSError, RunError), match="choose a"):
        train(tmp_path / out)
    assert (tmp_path / "taken").read_text() == "mine"


def test_too_large_for_memory_is_found_first(tmp_path, nothing_trained):
    with pytest.raises(ValueError, match="p=2003 with d_model=8 needs about .* GB and cpu has"):
        train(tmp_path / "out", TINY.replace(p=2003))
    assert not (tmp_path / "out").exists()


WIDE = TINY.replace(d_model=64, mlp_ratio=4, probes=("norms",))  # most of it is weights


@pytest.mark.parametrize(
    "change",
    [
        {}, {"grokfast": "ma"}, {"n_snapshots": 40}, {"precision": "float64"},
        {"probes": TINY.train.probes, "d_model": 8},
    ],
    ids=str,
)  # fmt: skip
def test_the_estimate_of_disk_space_covers_what_a_save_takes(tmp_path, stop, monkeypatch, change):
    """Never less than the files and a second copy of the largest, and at most four times that."""
    config = WIDE.replace(**change)
    stop(40)
    with pytest.raises(Interrupted):
        train(tmp_path / "run", config)
    sizes = [len(content) for content in contents(tmp_path / "run").values()]
    monkeypatch.setattr(devices, "MARGIN", 30_000)
    assert sum(sizes) + max(sizes) < devices.disk_need(config) < 4 * (sum(sizes) + max(sizes))


@pytest.mark.parametrize(("precision", "itemsize"), [("float32", 4), ("float64", 8)])
def test_the_estimate_of_disk_space_counts_the_filter_window(precision, itemsize):
    filtered = TINY.replace(grokfast="ma", precision=precision)
    short, long = (filtered.replace(grokfast_window=window) for window in (1, 1001))
    weights = itemsize * devices.n_parameters(TINY)
    assert devices.disk_need(long) - devices.disk_need(short) == 2 * 1000 * weights


# Stopped and gone on with


@pytest.mark.parametrize("epoch", [0, 8, 40])
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, tiny_run, stop, epoch):
    stop(epoch)
    with pytest.raises(Interrupted, match=f"at epoch {epoch}; go on with: miiii resume {tmp_path}"):
        train(tmp_path / "run")
    stopped = saved.load(tmp_path / "run")
    assert stopped.info["status"] == "interrupted" and stopped.epoch == epoch
    saved.verify(stopped)
    with pytest.raises(RunError, match=f"stopped at epoch {epoch}; go on with: miiii resume"):
        train(tmp_path / "run")
    run = resume(tmp_path / "run")
    assert run.finished and not (run.folder / "state.npz").exists()
    assert run.info["wall_seconds"] > stopped.info["wall_seconds"]
    assert_same_run(run, tiny_run)


def test_a_second_interrupt_stops_at_once(tmp_path, stop):
    stop(8, times=2)
    with pytest.raises(Interrupted, match="stopped at once; go on from the last save with: miiii"):
        train(tmp_path / "run")
    assert saved.load(tmp_path / "run").info["status"] == "running"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_stopped_between_two_files_of_the_last_save(tmp_path, tiny_run, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "finish", fail)
        with pytest.raises(OSError, match="could not be written: No space left .* miiii resume"):
            train(tmp_path / "run", save_seconds=-1.0)
    assert_same_run(resume(tmp_path / "run"), tiny_run)


@pytest.mark.parametrize("name", ["save_metrics", "save_weights", "save_state", "save_info"])
def test_a_disk_that_fills_up_costs_nothing(tmp_path, tiny_run, monkeypatch, name):
    written = getattr(recorder, name)
    calls = []

    def write(*arguments, **options):
        calls.append(name)
        if len(calls) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        written(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(recorder, name, write)
        with pytest.raises(OSError, match="what was saved before is whole"):
            train(tmp_path / "run", save_seconds=-1.0)
    saved.verify(saved.load(tmp_path / "run"))
    assert_same_run(resume(tmp_path / "run"), tiny_run)


def test_a_run_that_is_gone_on_with_is_running(tmp_path, stop):
    stop(8)
    with pytest.raises(Interrupted):
        train(tmp_path / "run")
    stop(12, times=2)
    with pytest.raises(Interrupted, match="at once"):
        resume(tmp_path / "run")
    run = saved.load(tmp_path / "run")
    assert (run.info["status"], run.epoch) == ("running", 8)


@pytest.fixture
def stopped(tmp_path, stop):
    """The folder of a run that was stopped at epoch 8."""
    stop(8)
    with pytest.raises(Interrupted):
        train(tmp_path / "run")
    return tmp_path / "run"


def test_going_on_with_other_code_is_said(stopped, capsys, monkeypatch):
    resume(stopped)
    assert "other code" not in capsys.readouterr().err, "the code is the same"
    run = saved.load(stopped)
    for module in (runs, provenance):
        monkeypatch.setattr(module, "training_code_digest", lambda: "other")
    runs._warn_of_other_code(run)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{stopped} was trained so far by other code (revision ")
    assert line.endswith("its end may not be that of an uninterrupted run")


@pytest.mark.parametrize("change", [{"novel": ("epoch",)}, {"loss": None}])
def test_what_is_recorded_by_other_names_is_refused_and_untouched(stopped, monkeypatch, change):
    before = contents(stopped)
    axes = runs.metric_axes(TINY) | change
    known = {name: names for name, names in axes.items() if names}
    monkeypatch.setattr(runs, "metric_axes", lambda config: known)
    with pytest.raises(RunError, match=f"records {next(iter(change))}. Go on with the code .*anew"):
        resume(stopped)
    assert contents(stopped) == before


def test_a_run_killed_before_its_first_state_starts_again(tmp_path, tiny_run, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(runs, "save_state", kill)
        with pytest.raises(Killed):
            train(tmp_path / "run")
    assert_same_run(resume(tmp_path / "run"), tiny_run)


def test_a_state_that_was_lost_later_is_not_passed_over(tmp_path, stop):
    stop(8)
    with pytest.raises(Interrupted):
        train(tmp_path / "run")
    (tmp_path / "run" / "state.npz").unlink()
    with pytest.raises(RunError, match="state.npz cannot be read"):
        resume(tmp_path / "run")


def test_what_a_killed_write_left_is_no_obstacle_and_goes(tmp_path, tiny_run):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".run.json.abc.part").write_text("{")
    assert_same_run(train(tmp_path / "run"), tiny_run)
    assert {p.name for p in tmp_path.joinpath("run").iterdir()} == {
        path.split("/")[0] for path in WRITTEN
    }


# Divergence


def test_divergence_stops_names_the_epoch_and_keeps_the_last_good_state(tmp_path):
    with pytest.raises(TrainingDiverged, match=r"at epoch (\d+); the state of epoch \d+ is kept"):
        train(tmp_path / "run", TINY.replace(learning_rate=1e3, probes=()), save_seconds=-1.0)
    run = saved.load(tmp_path / "run")
    saved.verify(run)
    assert run.info["status"] == "diverged" and 0 < run.epoch < 40
    for leaf in (*run.model.weights.values(), saved.load_state(run).epoch):
        assert jnp.isfinite(leaf).all()
    assert np.isfinite(run.metrics["loss"][:, 0]).all()
    assert int(saved.load_state(run).epoch) == run.epoch


def test_divergence_in_the_first_step_keeps_what_was_there(tmp_path):
    with pytest.raises(TrainingDiverged, match="epoch 1; the state of epoch 0 is kept in"):
        train(tmp_path / "run", TINY.replace(learning_rate=1e30, probes=()))
    run = saved.load(tmp_path / "run")
    assert run.info["status"] == "diverged" and run.epoch == 0
    assert list(run.metrics["epoch"]) == [0]


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_weights_that_are_not_finite_are_never_saved(bad):
    state = initial_state(TINY, task_of(TINY))
    recorder.check_finite(Progress(epoch=3, state=state, metrics=None))
    model = state.model.__class__.__new__(state.model.__class__)
    for name in (*state.model.weights, "config"):
        object.__setattr__(model, name, getattr(state.model, name))
    object.__setattr__(model, "W_U", state.model.W_U.at[0, 0].set(bad))
    broken = state.__class__(model, state.opt_state, state.epoch, state.settled_since)
    with pytest.raises(TrainingDiverged, match="weights stopped being finite at epoch 3"):
        recorder.check_finite(Progress(epoch=3, state=broken, metrics=None))


# The cache


@pytest.fixture
def trained(monkeypatch):
    """Folders that were trained from the start."""
    folders = []
    start = runs._start

    def count(config, folder, *rest):
        folders.append(folder)
        return start(config, folder, *rest)

    monkeypatch.setattr(runs, "_start", count)
    return folders


def test_cached_trains_once(root, trained, tiny_run):
    first = cached(TINY, progress=False)
    again = cached(TINY, progress=False, p=None, epochs=None, seed=0)
    assert trained == [first.folder] and again.info == first.info
    assert first.folder == root / f"miiii-{TINY.digest}"
    assert_same_run(first, tiny_run)


@pytest.mark.parametrize(
    ("which", "changes"),
    [
        ("miiii", {"grokfast": "none"}),
        ("no-dropout-small", {"dropout": 0.1, "epochs": 7}),
        ("basis", {"seed": 3}),
        (TINY.replace(dropout=0.0), {}),
    ],
)
def test_cached_looks_where_the_command_that_it_says_puts_the_run(root, run, which, changes):
    folder, config = runs.cache_folder(which, **changes)
    assert folder.parent == root
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "train", lambda config, folder, **_: asked.append((folder, config)))
        assert run(*shlex.split(train_command(config))[1:], "--quiet")[0] == 0
    assert asked == [(folder, config)]


def test_cached_finds_a_run_by_its_digest_whatever_its_name(root, tiny_run, nothing_is_trained):
    folder = shutil.copytree(tiny_run.folder, root / f"earlier-name-{TINY.digest}")
    shutil.copytree(tiny_run.folder, root / f".hidden-{TINY.digest}")
    assert cached(TINY).folder == folder


def test_cached_presets_are_named_after_preset_and_digest(root):
    folder, config = runs.cache_folder("nanda-small", p=11, epochs=3)
    assert folder == root / f"nanda-small-{config.digest}"
    assert (config.task.p, config.train.epochs, config.task.name) == (11, 3, "nanda")


def test_cached_trains_again_when_the_code_has_changed(kept, trained, monkeypatch, capsys):
    before = contents(kept)
    for module in (runs, provenance):
        monkeypatch.setattr(module, "training_code_digest", lambda: "other")
    run = cached(TINY, progress=False)
    assert trained == [kept] and run.info["code_digest"] == "other"
    aside = kept.parent / "replaced" / f"{kept.name}-1"
    assert contents(aside) == before, "nothing that was trained is thrown away"
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"{kept} was trained by other code than this; moved to {aside}, and trained anew"
    assert [found.folder for found in find_runs(kept.parent)] == [kept]


def test_cached_throws_no_run_of_another_format_away(kept, tiny_run, monkeypatch):
    monkeypatch.setattr(runs, "_start", lambda *_: tiny_run)
    for number in (1, 2):
        saved.save_info(kept, tiny_run.info | {"format": 3})
        before = contents(kept)
        cached(TINY, progress=False)
        assert contents(kept.parent / "replaced" / f"{kept.name}-{number}") == before
        shutil.copytree(tiny_run.folder, kept)


@pytest.mark.parametrize("name", WRITTEN)
def test_cached_trains_again_what_is_damaged(kept, trained, tiny_run, name, monkeypatch):
    monkeypatch.setattr(runs, "_start", lambda _, folder, *__: trained.append(folder) or tiny_run)
    (kept / name).write_bytes((kept / name).read_bytes()[:-30])
    cached(TINY, progress=False)
    assert trained == [kept] and not kept.exists()


def test_cached_resumes_what_was_interrupted(root, trained, tiny_run, stop):
    stop(8)
    with pytest.raises(Interrupted):
        cached(TINY, progress=False)
    assert_same_run(cached(TINY, progress=False), tiny_run)
    assert len(trained) == 1


def test_cached_takes_the_folder_of_a_finished_run(copy, tiny_run):
    assert_same_run(cached(copy), tiny_run)
    assert_same_run(cached(str(copy), p=7, epochs=None), tiny_run)
    with pytest.raises(RunError, match="a run of its own and cannot be changed by {'p': 11}"):
        cached(copy, p=11)


def test_cached_refuses_the_folder_of_an_unfinished_run(tmp_path, stop):
    stop(8)
    with pytest.raises(Interrupted):
        train(tmp_path / "run")
    with pytest.raises(RunError, match="stopped at epoch 8; go on with: miiii resume"):
        cached(tmp_path / "run")


def test_a_path_is_a_folder_and_a_name_that_could_be_both_is_refused(
    tiny_run, tmp_path, monkeypatch
):
    folder = shutil.copytree(tiny_run.folder, tmp_path / "masked")
    monkeypatch.chdir(tmp_path)
    for way in (folder, Path("masked"), "./masked", str(folder)):
        assert cached(way).config == TINY
    with pytest.raises(ValueError, match=f"a preset, and the folder {folder} .* './masked' for"):
        cached("masked")
    with pytest.raises(RunError, match="there is no run in basis"):
        cached(Path("basis"))


def test_a_folder_without_a_run_hides_no_preset(root, tmp_path, monkeypatch, tiny_run):
    (tmp_path / "masked-small").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs, "_start", lambda *_: tiny_run)
    assert cached("masked-small") is tiny_run


def test_cached_knows_no_other_names(root):
    with pytest.raises(ValueError, match="unknown preset 'mi'; presets are .*miiii.* no folder"):
        cached("mi")
    with pytest.raises(ValueError, match="unknown field"):
        cached(TINY, q=3)
    assert not root.exists()


# Shipped runs, and large ones


@pytest.fixture
def nothing_is_trained(root, monkeypatch):
    def fail(*_):
        raise AssertionError("training was started")

    monkeypatch.setattr(runs, "_start", fail)
    monkeypatch.setattr(runs, "_go_on", fail)


def test_cached_prefers_the_shipped_run_whatever_code_trained_it(
    kept, tiny_run, tmp_path, nothing_is_trained, monkeypatch
):
    monkeypatch.setattr(runs, "training_code_digest", lambda: "other")
    shipped = pack(tiny_run, tmp_path / "shelf" / "tiny")
    found = cached(TINY.replace(seed=5), seed=0, progress=False)
    assert found.folder == shipped.folder and kept.exists()


def test_cached_says_when_the_shipped_run_is_damaged(tiny_run, tmp_path, nothing_is_trained):
    shipped = pack(tiny_run, tmp_path / "shelf" / "tiny")
    (shipped.folder / "weights.npz").write_bytes(b"")
    with pytest.raises(RunError, match="weights.npz was altered.* restore it with: git checkout"):
        cached(TINY)


@pytest.mark.parametrize(
    ("name", "changes", "typed", "time"),
    [
        ("nanda", {}, "--preset nanda", "17 minutes"),
        ("miiii", {"seed": 3}, "--preset miiii --seed 3", "8 hours"),
        ("masked", {"masked": (3, 5)}, "--preset masked --masked 3,5", "8 hours"),
        ("miiii", {"probes": ()}, "--preset miiii --probes ''", "8 hours"),
    ],
)
def test_a_large_run_is_not_trained_unasked(root, nothing_is_trained, name, changes, typed, time):
    folder, config = runs.cache_folder(name, **changes)
    with pytest.raises(RunError) as refused:
        cached(name, **changes)
    said = str(refused.value)
    assert f"the run {folder.name} (p=113, {config.train.epochs} epochs) is not here" in said
    assert "book/runs of a clone of the repository" in said
    assert f"about {time} on two cores" in said
    assert said.endswith(f"type: miiii train {typed}")
    assert not root.exists()


@pytest.fixture
def large(root, tiny_run, monkeypatch):
    """The tiny run in the cache, in a world where it is large."""
    monkeypatch.setattr(runs, "LARGE_P", TINY.task.p)
    return shutil.copytree(tiny_run.folder, runs.cache_folder(TINY)[0])


def test_a_large_run_that_was_trained_is_taken(large, tiny_run, nothing_is_trained):
    assert_same_run(cached(TINY), tiny_run)


def test_a_large_run_of_other_code_is_kept(large, nothing_is_trained, monkeypatch):
    before = contents(large)
    monkeypatch.setattr(runs, "training_code_digest", lambda: "other")
    with pytest.raises(RunError, match=f"{large} was trained by other code.*name that folder"):
        cached(TINY)
    assert contents(large) == before and cached(large).finished


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": "interrupted", "epoch": 8}, "stopped at epoch 8; go on with: miiii resume"),
        ({"status": "no such"}, "unknown status"),
    ],
)
def test_a_large_run_in_between_is_kept(large, nothing_is_trained, change, words):
    saved.save_info(large, saved.load(large).info | change)
    before = contents(large)
    with pytest.raises(RunError, match=words):
        cached(TINY)
    assert contents(large) == before


# Two at once

HOLD = """
import sys
from filelock import FileLock

with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def another_process():
    """Start a process that holds the lock of a folder until it is told to let go."""
    started = []

    def hold(folder):
        folder.parent.mkdir(exist_ok=True)
        lock = folder.parent / f".{folder.name}.lock"
        command = [sys.executable, "-c", HOLD, str(lock)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = subprocess.Popen(command, text=True, **pipes)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return lambda: process.communicate("go\n", timeout=30)

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def test_a_second_process_is_refused(copy, tmp_path, another_process):
    another_process(copy)
    another_process(tmp_path / "new")
    for second in (lambda: resume(copy), lambda: train(copy), lambda: train(tmp_path / "new")):
        with pytest.raises(RunError, match="another process is writing to .*; wait for it"):
            second()
    assert not (tmp_path / "new").exists()


def test_no_alias_of_a_folder_leads_past_its_lock(copy, tmp_path, another_process, monkeypatch):
    another_process(copy)
    (tmp_path / "alias").symlink_to(copy)
    monkeypatch.chdir(copy)
    for way in (tmp_path / "alias", ".", tmp_path / "below" / ".." / "copy"):
        with pytest.raises(RunError, match="another process is writing to"):
            train(way)


def test_cached_waits_for_the_other_process(kept, another_process, capsys):
    let_go = another_process(kept)
    found = []
    second = threading.Thread(target=lambda: found.append(cached(TINY)))
    second.start()
    second.join(0.3)
    assert second.is_alive() and not found
    let_go()
    second.join(30)
    assert found[0].finished
    assert f"waiting for the process that writes to {kept}" in capsys.readouterr().err


# Where runs are


def test_runs_are_kept_where_the_environment_says(root):
    assert runs_root() == root


def test_runs_are_kept_beside_the_table_of_contents(tmp_path, monkeypatch):
    monkeypatch.delenv("MIIII_RUNS", raising=False)
    (tmp_path / "book").mkdir()
    (tmp_path / "_toc.yml").touch()
    monkeypatch.chdir(tmp_path / "book")
    assert runs_root() == tmp_path / "_runs"
    (tmp_path / "_toc.yml").unlink()
    assert runs_root() == tmp_path / "book" / "_runs"


def test_runs_are_found_with_the_damaged_among_them(tiny_run, tmp_path):
    for name in "abcd":
        shutil.copytree(tiny_run.folder, tmp_path / name)
    (tmp_path / "b" / "run.json").unlink()
    (tmp_path / "c" / "metrics.npz").write_bytes(b"")
    (tmp_path / "d" / "weights.npz").write_bytes(b"")
    (tmp_path / "no run").mkdir()
    a, b, c, d = find_runs(tmp_path)
    assert (a.folder, d.folder) == (tmp_path / "a", tmp_path / "d")
    assert isinstance(b, RunError) and str(tmp_path / "b") in str(b)
    assert isinstance(c, RunError) and "metrics.npz" in str(c)
    *_, d = find_runs(tmp_path, verified=True)
    assert isinstance(d, RunError) and "weights.npz" in str(d)


def test_run_files_hold_what_they_say(tiny_run):
    info = json.loads((tiny_run.folder / "run.json").read_text())
    assert info["config"] == json.loads(TINY.to_json())
