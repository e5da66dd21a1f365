import errno
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import TINY, assert_same_run

from miiii_core import batch, files, losses, optim, probes, runs, stored
from miiii_core import train as training
from miiii_core.model import WEIGHT_NAMES
from miiii_core.presets import preset
from miiii_core.probes import metric_axes
from miiii_core.runs import Interrupted, RunError, cached, load, verify
from miiii_core.train import Progress, TrainingDiverged, initial_state, task_of

HERE = Path(__file__).parent
SNAPSHOTS = [f"snapshots/{epoch:08d}.npz" for epoch in TINY.train.snapshots[:-1]]
WRITTEN = ["run.json", "metrics.npz", "weights.npz", *SNAPSHOTS]


def contents(folder):
    """Every file below a folder, by its path from there."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def rewrite(folder, change=None, **news):
    """Change run.json, with a checksum that fits."""
    info = json.loads((folder / "run.json").read_text())
    del info["checksum"]
    info = (change or (lambda old: old))(info | news)
    (folder / "run.json").write_text(json.dumps({**info, "checksum": stored._checksum(info)}))


def edit(path, old, new):
    path.write_text(path.read_text().replace(old, new))


@pytest.fixture
def kept(root, tiny_run):
    """The tiny run, where the cache looks for it."""
    return shutil.copytree(tiny_run.folder, runs.cache_folder(TINY))


@pytest.fixture
def shelved(root, tiny_run, tmp_path):
    """The tiny run among the shipped ones."""
    return shutil.copytree(tiny_run.folder, tmp_path / "shelf" / "tiny")


@pytest.fixture
def stop(monkeypatch):
    """Send signals from inside training, at the first news from an epoch on."""
    take = stored.Recorder.take
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def at(epoch, times=1):
        def take_and_stop(self, now):
            kept = take(self, now)
            if kept is not None and kept.epoch >= epoch:
                monkeypatch.setattr(stored.Recorder, "take", take)
                for _ in range(times):
                    signal.raise_signal(signal.SIGINT)
            return kept

        monkeypatch.setattr(stored.Recorder, "take", take_and_stop)

    yield at
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(runs, "SAVE_SECONDS", -1.0)


@pytest.fixture
def nothing_is_trained(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("training was set up")

    for name in ("fit", "initial_state", "task_of"):
        monkeypatch.setattr(training, name, fail)
    monkeypatch.setattr(batch, "fit_many", fail)


def train(folder, config=TINY, **options):
    return runs.train(config, folder, progress=False, **options)


def resume(folder):
    return runs.resume(folder, progress=False)


# What is read back


def test_whoever_has_numpy_can_read_a_run(tiny_run):
    info = json.loads((tiny_run.folder / "run.json").read_text())
    assert info["config"] == json.loads(TINY.to_json())
    for name, sha256 in info["files"].items():
        assert hashlib.sha256((tiny_run.folder / name).read_bytes()).hexdigest() == sha256
    assert set(info["files"]) | {"run.json"} == set(WRITTEN) == set(contents(tiny_run.folder))
    with np.load(tiny_run.folder / "weights.npz") as weights:
        assert weights["W_E"].dtype == np.float32
        np.testing.assert_array_equal(weights["W_E"], np.asarray(tiny_run.model.W_E))
    with np.load(tiny_run.folder / SNAPSHOTS[0]) as weights:
        assert set(weights) == set(WEIGHT_NAMES) and weights["W_E"].dtype == np.float16
        np.testing.assert_array_equal(
            weights["W_E"].astype(np.float32), np.asarray(tiny_run.snapshot(1).W_E)
        )


def test_metrics_have_the_axes_they_were_recorded_with(tiny_run):
    metrics = tiny_run.metrics
    assert metrics.axes == metric_axes(TINY)
    np.testing.assert_array_equal(metrics.split("loss", "test"), metrics["loss"][:, 2])
    early = metrics.until(30)
    assert early["epoch"].max() == 27 and early.axes == metrics.axes
    assert len(early["neuron_power"]) == len(early["wide_epoch"]) < len(early["epoch"])
    with pytest.raises(KeyError, match="'los' was not recorded; recorded are .*'loss'"):
        metrics["los"]


def test_tasks_are_learned_when_validation_says_so(tiny_run, monkeypatch):
    accuracy = tiny_run.metrics.split("accuracy", "validation")
    level = float(accuracy.max(axis=0).min())
    monkeypatch.setattr(losses, "GENERALISED", level)
    for i, epoch in enumerate(tiny_run.learned_at()):
        first = next(row for row, value in enumerate(accuracy[:, i]) if value >= level)
        assert epoch == tiny_run.metrics["epoch"][first]
    monkeypatch.setattr(losses, "GENERALISED", 1.1)
    assert np.isinf(tiny_run.learned_at()).all()


def test_the_last_snapshot_is_the_trained_weights(tiny_run):
    assert tiny_run.snapshot_epochs == TINY.train.snapshots
    assert tiny_run.snapshot(40) is tiny_run.model
    with pytest.raises(RunError, match=r"no snapshot of epoch 5; there are \(1, .*40\)"):
        tiny_run.snapshot(5)


def test_weights_that_half_precision_cannot_hold_stay_single(tmp_path, tiny_run):
    huge = jax.tree.map(lambda weight: weight * 1e6, tiny_run.model)
    stored._save_weights(tmp_path / "huge.npz", huge, np.float16)
    arrays = files.load_arrays(tmp_path / "huge.npz")
    np.testing.assert_array_equal(arrays["W_E"], np.asarray(huge.W_E))


def test_snapshots_of_eight_bits_are_multiplied_by_the_scales_of_their_rows(copy):
    exact = load(copy).snapshot(1).weights
    arrays = {}
    for name, weight in exact.items():
        scale = np.abs(np.asarray(weight)).max(axis=-1) / np.float32(127)
        arrays[name] = np.rint(np.asarray(weight) / scale[..., None]).astype(np.int8)
        arrays[f"{name}.scale"] = scale
    files.save_arrays(copy / SNAPSHOTS[0], arrays)
    listed = load(copy).info["files"]
    listed[SNAPSHOTS[0]] = hashlib.sha256((copy / SNAPSHOTS[0]).read_bytes()).hexdigest()
    rewrite(copy, files=listed, snapshots="int8")
    run = load(copy)
    verify(run)
    for name, weight in run.snapshot(1).weights.items():
        np.testing.assert_array_equal(
            np.asarray(weight), arrays[name] * arrays[f"{name}.scale"][..., None]
        )
        np.testing.assert_allclose(weight, exact[name], atol=float(np.abs(exact[name]).max()) / 250)


# What is damaged


@pytest.fixture(scope="module")
def fragile(tiny_run, tmp_path_factory):
    return shutil.copytree(tiny_run.folder, tmp_path_factory.mktemp("fragile") / "run")


@given(
    name=st.sampled_from(WRITTEN),
    how=st.sampled_from(["missing", "truncated", "altered"]),
    place=st.floats(0, 1, exclude_max=True),
    flip=st.integers(1, 255),
)
@settings(deadline=None, max_examples=60)
def test_a_damaged_run_is_refused_by_the_name_of_its_file(
    fragile, tiny_run, name, how, place, flip
):
    whole = (fragile / name).read_bytes()
    at = int(place * len(whole))
    if how == "missing":
        (fragile / name).unlink()
    else:
        rest = b"" if how == "truncated" else bytes([whole[at] ^ flip]) + whole[at + 1 :]
        (fragile / name).write_bytes(whole[:at] + rest)
    try:
        verify(run := load(fragile))
    except RunError as error:
        assert name in str(error) or name == "run.json"
    else:  # white space between what is said
        assert name == "run.json" and run.info == tiny_run.info
    finally:
        (fragile / name).write_bytes(whole)


NONE = [b"[]", b"3", b"null", b'{"format": 3}', b"{", b"", b"{}", b"\xff\xfe\x00"]


@pytest.mark.parametrize("content", NONE)
def test_a_run_file_that_is_none_is_refused(copy, content):
    (copy / "run.json").write_bytes(content)
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        load(copy)


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda copy: edit(copy / "run.json", '"seed": 0', '"seed": 1'), "altered: its checksum"),
        (lambda copy: rewrite(copy, digest="0" * 12), "altered"),
        (
            lambda copy: rewrite(copy, format=2),
            "of format 2 and this version reads format 3; train",
        ),
    ],
)
def test_a_hand_edited_run_file_is_refused(copy, change, said):
    change(copy)
    with pytest.raises(RunError, match=said):
        load(copy)


def test_a_folder_without_a_run_is_named_and_gets_no_lock(tmp_path):
    for look in (load, resume):
        with pytest.raises(RunError, match=f"there is no run in {tmp_path}/none"):
            look(tmp_path / "none" / "here")
    assert list(tmp_path.iterdir()) == []


def test_files_that_do_not_fit_the_configuration_are_refused(copy):
    def listed(name, arrays):
        files.save_arrays(copy / name, arrays)
        sha256 = hashlib.sha256((copy / name).read_bytes()).hexdigest()
        rewrite(copy, files=load(copy).info["files"] | {name: sha256})
        return load(copy)

    weights, metrics = (files.load_arrays(copy / f"{n}.npz") for n in ("weights", "metrics"))
    with pytest.raises(RunError, match=r"weights\.npz has .*'W_U': \(2, 2\)"):
        _ = listed("weights.npz", weights | {"W_U": np.ones((2, 2))}).model
    del metrics["loss"]
    with pytest.raises(RunError, match=r"metrics\.npz is damaged: .*'loss'"):
        _ = listed("metrics.npz", metrics).metrics


def test_foreign_files_among_snapshots_are_passed_over(copy):
    (copy / "snapshots" / "notes.npz").touch()
    shutil.copy(copy / SNAPSHOTS[0], copy / "snapshots" / "00000007.npz")
    verify(load(copy))
    assert load(copy).snapshot_epochs == TINY.train.snapshots


# Folders that are not free


def test_a_folder_that_holds_anything_is_refused_and_untouched(copy, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    for folder in (copy, tmp_path / "out"):
        before = contents(folder)
        with pytest.raises(RunError, match=f"{folder} is not empty.*; choose a new folder$"):
            train(folder)
        assert contents(folder) == before
    with pytest.raises(RunError, match="finished at epoch 40: there is nothing to resume"):
        resume(copy)


def test_an_update_rule_that_is_not_there_takes_no_folder(tmp_path):
    with pytest.raises(ValueError, match="was not found"):
        runs.train(TINY.replace(update="no_such:rule"), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_is_free_also_when_one_stands_in_it(tmp_path, monkeypatch, tiny_run):
    (tmp_path / "way").mkdir()
    (tmp_path / "way" / ".run.json.abc.part").write_text("{")
    monkeypatch.chdir(tmp_path / "way")
    assert_same_run(train("."), tiny_run)
    assert set(contents(tmp_path / "way")) == set(WRITTEN)


def test_two_trainings_into_one_folder(copy, tmp_path):
    with files.held(tmp_path / "new"), files.held(copy):
        for second in (lambda: resume(copy), lambda: train(copy), lambda: train(tmp_path / "new")):
            with pytest.raises((OSError, RunError), match="another process|never|another"):
                second()
    assert not (tmp_path / "new").exists()


# Found before training starts


def test_too_little_memory_is_found_first(tmp_path, nothing_is_trained):
    with pytest.raises(ValueError, match="p=2003 and d_model=8 needs about .* GB and cpu has"):
        train(tmp_path / "out", TINY.replace(p=2003))
    assert not (tmp_path / "out").exists()


def test_memory_is_what_machine_or_container_allows(tmp_path, monkeypatch):
    cpu, physical = (
        batch.find_device("cpu"),
        os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    )
    monkeypatch.setattr(batch, "CONTAINER_LIMITS", (str(tmp_path / "max"), str(tmp_path / "gone")))
    for text, allowed in {"max\n": physical, "1000000\n": 10**6, f"{10**18}": physical}.items():
        (tmp_path / "max").write_text(text)
        assert batch.available_memory(cpu) == allowed
    monkeypatch.delattr("os.sysconf")  # as on Windows: what the system does not tell, it allows
    assert batch.available_memory(cpu) == 10**18


MEASURE = """
import resource, sys
from miiii_core import config, train

config = config.Config.from_json(sys.argv[1])
task = train.task_of(config)
for _ in train.fit(config, task, train.initial_state(config, task)):
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.thorough
def test_the_estimate_of_memory_covers_the_measured_peak():
    """Never less than the whole process takes, and at most three times as much."""
    config = TINY.replace(epochs=1, probes=("norms",), p=97, d_model=128, mlp_ratio=4)
    # A process starts with the peak of the one that forked it: let that be a small shell's.
    command = ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", MEASURE, config.to_json()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    estimate, double = (
        batch.estimate_memory(c) for c in (config, config.replace(precision="float64"))
    )
    assert int(done.stdout) < estimate < 3 * int(done.stdout)
    assert double - batch.OVERHEAD == 2 * (estimate - batch.OVERHEAD)


def test_an_absent_gpu_is_named_with_what_there_is():
    assert batch.find_device("auto") == jax.devices()[0]
    if jax.devices()[0].platform == "cpu":
        with pytest.raises(ValueError, match=r"device='gpu' .*cpu.*choose auto or cpu.*\[gpu\]"):
            batch.find_device("gpu")


# Stopped and gone on with


@pytest.mark.parametrize("epoch", [0, 8])
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, tiny_run, stop, epoch):
    stop(epoch)
    with pytest.raises(Interrupted, match=f"at epoch {epoch}; go on with: miiii resume {tmp_path}"):
        train(tmp_path / "run")
    stopped = load(tmp_path / "run")
    assert stopped.info["status"] == "interrupted" and stopped.epoch == epoch
    verify(stopped)
    assert stopped.metrics["epoch"].max() == epoch
    with pytest.raises(RunError, match="not empty"):
        train(tmp_path / "run")
    run = resume(tmp_path / "run")
    assert run.finished and not (run.folder / "state.eqx").exists()
    assert run.info["wall_seconds"] > stopped.info["wall_seconds"]
    assert [session["from_epoch"] for session in run.info["sessions"]] == [0, epoch]
    assert_same_run(run, tiny_run)


class Closed(io.StringIO):
    """A terminal that was closed: whoever writes gets EPIPE."""

    def write(self, text):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_what_is_stopped_at_its_end_is_finished_and_a_closed_terminal_costs_the_bar_alone(
    tmp_path, tiny_run, stop, monkeypatch
):
    stop(40)
    monkeypatch.setattr("sys.stderr", Closed())
    assert_same_run(runs.train(TINY, tmp_path / "run", progress=True), tiny_run)


def test_a_signal_during_a_save_stops_at_the_next_record(tmp_path, monkeypatch, often, stop):
    save, signals = stored.Recorder.save, [signal.SIGINT]

    def save_and_stop(self, now, status):
        save(self, now, status)
        if signals and now.epoch >= 8:
            signal.raise_signal(signals.pop())

    monkeypatch.setattr(stored.Recorder, "save", save_and_stop)
    with pytest.raises(Interrupted) as told:
        train(tmp_path / "run")
    run = load(tmp_path / "run")
    assert run.info["status"] == "interrupted" and f"at epoch {run.epoch};" in str(told.value)


def test_a_second_interrupt_stops_at_once(tmp_path, stop):
    stop(8, times=2)
    with pytest.raises(Interrupted, match="stopped at once; go on from the last save with: miiii"):
        train(tmp_path / "run")
    run = load(tmp_path / "run")
    assert run.info["status"] == "running" and not run.metrics and run.model
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    verify(run)


SLOWER = [pytest.param(n, marks=pytest.mark.thorough) for n in ("run.json", SNAPSHOTS[1])]


@pytest.mark.parametrize("name", ["metrics.npz", "weights.npz", "state.eqx", *SLOWER])
def test_a_disk_that_fills_up_costs_nothing(tmp_path, tiny_run, monkeypatch, often, name):
    """At each file, at its second writing where there is one; what was written before stays."""
    write, last = files.write_atomic, {"metrics.npz", "run.json", "state.eqx"}
    calls = []

    def written(path, content):
        calls.extend([path] if str(path).endswith(name) else [])
        if calls and calls[-1] == path and len(calls) == (3 if name in last else 1):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_atomic", written)
        with pytest.raises(OSError, match="No space left.* what was saved before is whole"):
            train(tmp_path / "run")
    verify(load(tmp_path / "run"))
    assert_same_run(resume(tmp_path / "run"), tiny_run)


def test_a_moved_run_is_ended_by_another_process(tmp_path, tiny_run, stop):
    stop(13)
    with pytest.raises(Interrupted):
        train(tmp_path / "here" / "run")
    elsewhere = shutil.copytree(tmp_path / "here" / "run", tmp_path / "elsewhere" / "renamed")
    shutil.rmtree(tmp_path / "here")
    (tmp_path / "link").symlink_to(elsewhere)
    code = "import sys; from miiii_core import runs; runs.resume(sys.argv[1], progress=False)"
    flags = {"MIIII_RUNS": str(tmp_path / "none"), "PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, "-c", code, tmp_path / "link"]
    subprocess.run(command, check=True, cwd=tmp_path, env=os.environ | flags)
    run = load(elsewhere)
    verify(run)
    assert_same_run(run, tiny_run)
    assert len(run.info["sessions"]) == 2


@pytest.fixture
def stopped(tmp_path, stop):
    """The folder of a run that was stopped at epoch 8."""
    stop(8)
    with pytest.raises(Interrupted):
        train(tmp_path / "run")
    return tmp_path / "run"


def test_going_on_with_other_code_is_said(stopped, capsys, monkeypatch, tiny_run):
    monkeypatch.setattr(training, "TRAINING_VERSION", 7)
    run = resume(stopped)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{stopped} is of training version 1, and this code of 7: its end")
    assert [session["training_version"] for session in run.info["sessions"]] == [1, 7]


def test_what_is_recorded_by_other_names_is_refused_and_untouched(stopped, monkeypatch):
    before = contents(stopped)
    monkeypatch.setattr(probes, "metric_axes", lambda config: metric_axes(config) | {"new": ()})
    with pytest.raises(RunError, match="does not record the same: new; train it anew"):
        resume(stopped)
    assert contents(stopped) == before


@pytest.mark.parametrize("name", SNAPSHOTS[:2])
def test_a_run_with_a_snapshot_damaged_or_lost_is_not_gone_on_with(stopped, name):
    (stopped / name).unlink() if name == SNAPSHOTS[0] else (stopped / name).write_bytes(b"")
    with pytest.raises(RunError, match=f"lacks the snapshots of .1.|{name} is damaged"):
        resume(stopped)


def test_a_copy_among_the_snapshots_and_a_state_ahead_of_them_change_nothing(stopped):
    rewrite(stopped, epoch=3)  # as of a run that goes on while it is read
    shutil.copy(stopped / SNAPSHOTS[0], stopped / "snapshots" / "00000001 (1).npz")
    run, kept = load(stopped), np.load(stopped / SNAPSHOTS[1])["W_U"]
    assert run.snapshot_epochs == (1, 3)
    np.testing.assert_array_equal(run.snapshot(3).W_U, kept.astype(np.float32))


def test_a_run_by_another_text_of_its_rule_is_trained_anew(kept, monkeypatch):
    rewrite(kept, rule="of the old text")
    assert cached(TINY).folder == kept
    monkeypatch.setattr(optim, "rule_digest", lambda config: "of the new text")
    assert "begun by another text of adamw" in runs._unusable(kept)


@pytest.mark.parametrize("how", ["missing", "altered", "another"])
def test_a_state_that_is_not_whole_is_never_gone_on_with(stopped, how):
    state = stopped / "state.eqx"
    content = bytearray(state.read_bytes())
    if how == "missing":
        state.unlink()
    elif how == "altered":
        content[-1] ^= 1
        state.write_bytes(content)
    else:
        other = TINY.replace(seed=1)
        stored._save_state(state, other, initial_state(other, task_of(other)))
    with pytest.raises(RunError, match=r"state\.eqx"):
        resume(stopped)
    with pytest.raises(RunError, match=r"state\.eqx"):
        verify(load(stopped))


# Divergence


def test_divergence_keeps_the_last_good_state(tmp_path, often):
    with pytest.raises(TrainingDiverged, match=r"at epoch (\d+); the state of epoch \d+ is kept"):
        train(tmp_path / "run", TINY.replace(learning_rate=1e3, probes=()))
    run = load(tmp_path / "run")
    verify(run)
    assert run.info["status"] == "diverged" and 0 < run.epoch < 40
    assert all(jnp.isfinite(weight).all() for weight in run.model.weights.values())
    assert int(stored.load_state(run).epoch) == run.epoch


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_weights_that_are_not_finite_are_never_saved(bad):
    state = initial_state(TINY, task_of(TINY))
    broken = eqx.tree_at(lambda s: s.model.W_U, state, state.model.W_U.at[0, 0].set(bad))
    for now, good in ((state, True), (broken, False)):
        assert stored._finite(Progress(epoch=3, state=now, metrics=None)) == good


# Many at once

BASE = TINY.replace(probes=())
VALUES = {"a": BASE, "b": BASE.replace(seed=1), "c": BASE.replace(learning_rate=1e30)}


def train_many(root, configs=VALUES):
    return runs.train_many({root / n: c for n, c in configs.items()}, progress=False)


def test_each_of_many_is_an_ordinary_run_and_one_that_diverges_is_marked(tmp_path, tiny_run):
    first, second, third = train_many(tmp_path)
    np.testing.assert_allclose(first.metrics["loss"], tiny_run.metrics["loss"], rtol=1e-4)
    for run in (first, second):
        verify(load(run.folder))
        assert run.finished and run.config == VALUES[run.folder.name]
        assert set(contents(run.folder)) == set(contents(tiny_run.folder))
    assert (first.metrics["loss"][:, 0] != second.metrics["loss"][:, 0]).any()
    assert (third.info["status"], third.epoch) == ("diverged", 0)
    verify(load(third.folder))


def test_stopped_each_of_many_goes_on_by_itself(tmp_path, tiny_run, stop):
    stop(8)
    with pytest.raises(Interrupted, match="stopped at epoch 8; go on with: miiii resume .*/a "):
        train_many(tmp_path)
    for name in "ab":
        stopped = load(tmp_path / name)
        assert (stopped.info["status"], stopped.epoch) == ("interrupted", 8)
        verify(stopped)
    run = resume(tmp_path / "a")
    assert run.finished
    np.testing.assert_allclose(run.metrics["loss"], tiny_run.metrics["loss"], rtol=1e-4)


def test_many_are_refused_before_anything_is_written(tmp_path, nothing_is_trained):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="b is not empty"):
        train_many(tmp_path)
    assert not (tmp_path / "a").exists()
    with pytest.raises(ValueError, match="differ in p;"):
        train_many(tmp_path, {"a": TINY, "b": TINY.replace(p=11)})
    large = TINY.replace(p=2003)
    with pytest.raises(ValueError, match="p=2003 .* or fewer runs"):
        train_many(tmp_path / "new", {"a": large, "b": large.replace(seed=1)})


# The cache


def test_cached_trains_once_and_takes_the_run_by_its_digest(root, tiny_run, monkeypatch):
    first = cached(TINY, progress=False)
    assert first.folder == root / f"miiii-{TINY.digest}"
    assert_same_run(first, tiny_run)
    monkeypatch.setattr(runs, "_start", None)
    assert cached(TINY.replace(seed=5), p=None, seed=0).info == first.info
    renamed = first.folder.rename(root / f"earlier-name-{TINY.digest}")
    shutil.copytree(renamed, root / f".hidden-{TINY.digest}")
    assert cached(TINY).folder == renamed


@pytest.mark.parametrize("name", ["run.json", "metrics.npz", "weights.npz", SNAPSHOTS[0], None])
def test_cached_moves_what_will_not_do_aside_and_trains_anew(
    kept, tiny_run, monkeypatch, capsys, name
):
    """What is damaged, and where no file is, what code of another version trained."""
    monkeypatch.setattr(runs, "_start", lambda *_: [tiny_run])
    if name is None:
        monkeypatch.setattr(training, "TRAINING_VERSION", 7)
    else:
        (kept / name).write_bytes((kept / name).read_bytes()[:-30])
    before = contents(kept)
    assert cached(TINY) is tiny_run
    (aside,) = (kept.parent / "replaced").iterdir()
    assert contents(aside) == before and not kept.exists()
    (line,) = capsys.readouterr().err.splitlines()
    assert (name or "version 1") in line and f"moved to {aside}, and trained anew" in line
    assert list(stored.find_runs(kept.parent)) == []


def test_cached_resumes_what_was_interrupted(root, tiny_run, stop):
    stop(8)
    with pytest.raises(Interrupted):
        cached(TINY, progress=False)
    assert_same_run(cached(TINY, progress=False), tiny_run)


def test_cached_takes_the_folder_of_a_finished_run(copy, root, stopped, monkeypatch):
    monkeypatch.chdir(copy.parent)
    for way in (copy, str(copy), Path("copy"), "./copy"):
        assert cached(way, p=7, epochs=None).folder.resolve() == copy
    with pytest.raises(RunError, match="a run of its own and cannot be changed by {'p': 11}"):
        cached(copy, p=11)
    with pytest.raises(RunError, match="stopped at epoch 8; go on with: miiii resume"):
        cached(stopped)
    with pytest.raises(RunError, match="there is no run in basis"):
        cached(Path("basis"))


def test_a_folder_hides_no_preset(root, tiny_run, tmp_path, monkeypatch):
    shutil.copytree(tiny_run.folder, tmp_path / "masked")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs, "_start", lambda *_: [tiny_run])
    monkeypatch.setattr(runs, "LARGE_P", 1000)
    assert cached("masked") is tiny_run


def test_cached_knows_no_other_names(root):
    with pytest.raises(ValueError, match="'7' is no folder of a run, and no preset"):
        cached(7)  # what papermill makes of `-p run 7`
    with pytest.raises(ValueError, match="'mi' is no folder.* these are .*miiii"):
        cached("mi")
    with pytest.raises(ValueError, match="unknown field"):
        cached(TINY, q=3)
    assert not root.exists()


# Shipped runs, and large ones


def test_cached_prefers_the_shipped_run_whatever_code_trained_it(
    shelved, nothing_is_trained, monkeypatch
):
    monkeypatch.setattr(training, "TRAINING_VERSION", 7)
    shutil.copytree(shelved, shelved.parent / "zebra")
    assert [run.folder.name for run in runs.shipped_runs()] == ["tiny", "zebra"]
    shutil.rmtree(shelved.parent / "zebra")
    assert cached(TINY.replace(seed=5), seed=0).folder == shelved
    assert runs._find_shipped(TINY.replace(precision="bfloat16"), rounded=False) is None
    (shelved / "weights.npz").write_bytes(b"")
    with pytest.raises(RunError, match=r"weights\.npz was altered.*restore the file"):
        cached(TINY)


def test_a_large_run_is_neither_trained_nor_moved_unasked(root, nothing_is_trained):
    folder = runs.cache_folder(preset("miiii").replace(seed=3))
    with pytest.raises(RunError) as refused:
        cached("miiii", seed=3)
    said = str(refused.value)
    assert folder.name in said and "for hours without a GPU" in said
    assert said.endswith("type: miiii train --preset miiii --seed 3") and not root.exists()


def test_a_large_run_is_taken_as_it_is(kept, monkeypatch):
    monkeypatch.setattr(runs, "LARGE_P", TINY.task.p)
    for name in ("_start", "_go_on"):
        monkeypatch.setattr(runs, name, None)
    assert cached(TINY).folder == kept
    rewrite(kept, training_version=0)
    before = contents(kept)
    with pytest.raises(RunError, match="training version 0.*move it aside and type: miiii train"):
        cached(TINY)
    assert contents(kept) == before
    rewrite(kept, training_version=1, status="interrupted", epoch=0)
    with pytest.raises(RunError, match="stopped at epoch 0; go on with: miiii resume"):
        cached(TINY)


# Where runs are


def test_runs_are_where_the_environment_says_or_the_book_is(tmp_path, monkeypatch, root):
    assert (runs.runs_root(), runs.shipped_root()) == (root, tmp_path / "shelf")
    assert runs.shipped_runs() == []
    monkeypatch.delenv("MIIII_RUNS")
    monkeypatch.delenv("MIIII_SHIPPED")
    (tmp_path / "book").mkdir()
    monkeypatch.chdir(tmp_path / "book")
    assert runs.runs_root() == tmp_path / "book" / "_runs"
    assert runs.shipped_root() is None and runs.shipped_runs() == []
    (tmp_path / "_toc.yml").touch()
    assert runs.runs_root() == tmp_path / "_runs"
    assert runs.shipped_root() == tmp_path / "book" / "runs"


def test_runs_are_found_with_the_damaged_among_them(tiny_run, tmp_path):
    for name in "abcd":
        shutil.copytree(tiny_run.folder, tmp_path / name)
    (tmp_path / "b" / "run.json").unlink()
    (tmp_path / "c" / "metrics.npz").write_bytes(b"")
    (tmp_path / "d" / "weights.npz").write_bytes(b"")
    (tmp_path / "no run").mkdir()
    a, b, c, d = stored.find_runs(tmp_path)
    assert (a.folder, d.folder) == (tmp_path / "a", tmp_path / "d")
    assert isinstance(b, RunError) and str(tmp_path / "b") in str(b)
    assert isinstance(c, RunError) and "metrics.npz" in str(c)
    *_, d = stored.find_runs(tmp_path, verified=True)
    assert isinstance(d, RunError) and "weights.npz" in str(d)


SHELF = HERE.parent / "book" / "runs"
NAMES = sorted(path.parent.name for path in SHELF.glob("[!.]*/run.json"))


@pytest.mark.parametrize(
    "name",
    [n if n == "miiii-30" else pytest.param(n, marks=pytest.mark.thorough) for n in NAMES],
)
def test_a_shipped_run_is_whole_and_its_numbers_follow_from_its_weights(name):
    run = load(SHELF / name)
    verify(run)
    assert run.finished and run.info["training_version"] == 1
    weights = [np.asarray(run.model.weights[own], np.float64) for own in WEIGHT_NAMES]
    norms = [np.linalg.norm(weight) for weight in weights]
    np.testing.assert_allclose(run.metrics["weight_norm"][-1], norms, rtol=1e-3)
    epochs = list(run.metrics["epoch"])
    for epoch in run.snapshot_epochs:  # so that one rounded snapshot can be told from others
        norms = [
            np.linalg.norm(np.asarray(w, np.float64)) for w in run.snapshot(epoch).weights.values()
        ]
        recorded = run.metrics["weight_norm"][epochs.index(epoch)]
        np.testing.assert_allclose(recorded, norms, rtol=5e-3)


def test_the_shelf_is_small_and_holds_nothing_else():
    found = contents(SHELF)
    assert sum(map(len, found.values())) <= 90_000_000
    listed = {f"{name}/{file}" for name in NAMES for file in load(SHELF / name).info["files"]}
    assert set(found) == listed | {f"{name}/run.json" for name in NAMES}
