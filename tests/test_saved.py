import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import TINY, WRITTEN, assert_same_run, damage

from miiii_core.network.model import WEIGHT_NAMES
from miiii_core.storage.files import load_arrays, save_arrays
from miiii_core.storage.saved import (
    Metrics,
    RunError,
    command,
    load,
    load_state,
    recorded,
    save_info,
    save_metrics,
    save_state,
    save_weights,
    snapshot_path,
    verify,
)
from miiii_core.tasks import SPLITS
from miiii_core.training.probes import metric_axes
from miiii_core.training.schedule import snapshot_epochs, tick_epochs, wide_epochs
from miiii_core.training.train import initial_state, task_of


@pytest.fixture
def copy(tiny_run, tmp_path):
    return shutil.copytree(tiny_run.folder, tmp_path / "copy")


def info_of(folder):
    info = json.loads((folder / "run.json").read_text())
    return {name: value for name, value in info.items() if name != "checksum"}


def test_a_run_read_again_is_the_same(tiny_run):
    again = load(tiny_run.folder)
    assert again.config == TINY
    assert again.finished and again.epoch == TINY.train.epochs
    assert_same_run(again, tiny_run)
    verify(again)


def test_only_the_files_of_a_finished_run_are_there(tiny_run):
    assert {path.name for path in tiny_run.folder.iterdir()} == {
        "run.json",
        "metrics.npz",
        "weights.npz",
        "snapshots",
    }


def test_provenance_is_written_down(tiny_run):
    info = tiny_run.info
    assert info["seed"] == TINY.train.seed and info["digest"] == TINY.digest
    assert info["wall_seconds"] > 0 and info["started"] <= info["updated"]
    assert set(info["versions"]) == {"python", "jax", "jaxlib", "equinox", "optax", "numpy"}
    assert info["device"] and info["code_revision"] and len(info["code_digest"]) == 12


def test_metrics_carry_the_axes_they_were_recorded_with(tiny_run):
    metrics, axes = tiny_run.metrics, metric_axes(TINY)
    assert dict(metrics.axes) == axes
    sizes = {"split": len(SPLITS), "matrix": len(WEIGHT_NAMES), "task": len(tiny_run.task.moduli)}
    sizes |= {"epoch": len(tick_epochs(TINY.train)), "k0": 4, "k1": 4, "frequency": 4, "rank": 7}
    sizes |= {"wide_epoch": len(wide_epochs(TINY.train)), "token": 15, "head": 4, "neuron": 4}
    sizes |= {"prime": 3, "wave": 4}
    for name, array in metrics.items():
        assert array.shape == tuple(sizes[axis] for axis in axes[name]), name
    assert tuple(metrics["epoch"]) == tick_epochs(TINY.train)
    assert tuple(metrics["wide_epoch"]) == wide_epochs(TINY.train)


def test_metrics_by_split_and_up_to_an_epoch(tiny_run):
    metrics = tiny_run.metrics
    np.testing.assert_array_equal(metrics.split("loss", "test"), metrics["loss"][:, 2])
    early = metrics.until(30)
    assert early["epoch"].max() == 27 and early.axes == metrics.axes
    np.testing.assert_array_equal(early["loss"], metrics["loss"][: len(early["epoch"])])
    assert len(early["neuron_power"]) == len(early["wide_epoch"]) < len(early["epoch"])
    with pytest.raises(KeyError, match="'los' was not recorded; recorded are .*'loss'"):
        metrics["los"]


def test_snapshots_are_the_weights_in_half_precision(tiny_run):
    assert tiny_run.snapshot_epochs == snapshot_epochs(TINY.train)
    last = tiny_run.snapshot(TINY.train.epochs)
    for name, weight in tiny_run.model.weights.items():
        halved = np.asarray(weight).astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(np.asarray(last.weights[name]), halved)
    with pytest.raises(RunError, match=r"no snapshot of epoch 5; there are \(1, .*40\)"):
        tiny_run.snapshot(5)


def test_weights_that_half_precision_cannot_hold_stay_single(tmp_path, tiny_run):
    huge = jax.tree.map(lambda weight: weight * 1e6, tiny_run.model)
    save_weights(tmp_path / "huge.npz", TINY, huge, half=True)
    arrays, _ = load_arrays(tmp_path / "huge.npz")
    np.testing.assert_array_equal(arrays["W_E"], np.asarray(huge.W_E))


def test_foreign_files_among_snapshots_are_passed_over(copy):
    (copy / "snapshots" / "notes.npz").touch()
    assert load(copy).snapshot_epochs == snapshot_epochs(TINY.train)


@pytest.mark.parametrize("grokfast", ["ema", "ma", "none"])
def test_state_comes_back_leaf_by_leaf(tmp_path, copy, grokfast):
    config = TINY.replace(grokfast=grokfast, grokfast_window=3)
    state = initial_state(config, task_of(config))
    info = info_of(copy) | {"digest": config.digest, "config": json.loads(config.to_json())}
    save_info(tmp_path, info)
    save_state(tmp_path, config, state)
    back = load_state(load(tmp_path))
    assert jax.tree.structure(back) == jax.tree.structure(state)
    for mine, theirs in zip(jax.tree.leaves(back), jax.tree.leaves(state), strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(np.asarray(mine), np.asarray(theirs))


def test_a_folder_without_a_run_is_named(tmp_path):
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(RunError, match=f"there is no run in {folder}: .* train one"):
            load(folder)


def test_another_format_version_is_named(copy):
    save_info(copy, info_of(copy) | {"format": 1})
    with pytest.raises(RunError, match="is of format 1 and this version reads format 2; train"):
        load(copy)


@pytest.mark.parametrize(
    "change",
    [{"status": "done"}, {"epoch": -1}, {"epoch": "many"}, {"config": {}}, {"config": [3]}],
)
def test_senseless_content_is_refused(copy, change):
    save_info(copy, info_of(copy) | change)
    with pytest.raises(RunError, match="run.json"):
        load(copy)


@pytest.mark.parametrize("content", ["[]", "3", "null", '{"format": 2}', "{", ""])
def test_a_run_file_that_is_none_is_refused(copy, content):
    (copy / "run.json").write_text(content)
    with pytest.raises(RunError, match="run.json is damaged"):
        load(copy)


def test_a_hand_edited_run_file_is_refused(copy):
    text = (copy / "run.json").read_text()
    (copy / "run.json").write_text(text.replace('"wall_seconds": ', '"wall_seconds": 1'))
    with pytest.raises(RunError, match="altered: its checksums do not fit"):
        load(copy)


def test_a_file_of_another_run_is_refused(copy, tiny_run):
    save_weights(copy / "weights.npz", TINY.replace(seed=1), tiny_run.model)
    with pytest.raises(RunError, match="weights.npz belongs to another run"):
        _ = load(copy).model


def test_weights_of_other_shapes_or_names_are_refused(copy, tiny_run):
    arrays = {name: np.asarray(w) for name, w in tiny_run.model.weights.items()}
    save_arrays(copy / "weights.npz", arrays | {"W_U": np.ones((2, 2))}, {"digest": TINY.digest})
    with pytest.raises(RunError, match=r"W_U is float64\(2, 2\), and the config calls for float32"):
        _ = load(copy).model
    del arrays["W_U"]
    save_arrays(copy / "weights.npz", arrays, {"digest": TINY.digest})
    with pytest.raises(RunError, match="weights.npz holds .* and the config calls for"):
        _ = load(copy).model


def test_metrics_that_lost_an_array_are_refused(copy, tiny_run):
    header = {"digest": TINY.digest, "axes": metric_axes(TINY)}
    kept = {name: array for name, array in tiny_run.metrics.items() if name != "loss"}
    save_arrays(copy / "metrics.npz", kept, header)
    with pytest.raises(RunError, match="metrics.npz is damaged: it lost {'loss'}"):
        _ = load(copy).metrics


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("how", ["missing", "truncated", "empty"])
def test_verify_finds_every_broken_file(copy, name, how):
    content = (copy / name).read_bytes()
    if how == "missing":
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content[: len(content) // 2] if how == "truncated" else b"")
    with pytest.raises(RunError, match=name if how != "missing" else "no run|cannot be read"):
        verify(load(copy))


def test_a_snapshot_may_only_lack_if_it_is_said_to_be_left_behind(copy):
    run = load(copy)
    first, second, *_ = run.snapshot_epochs
    snapshot_path(copy, first).unlink()
    with pytest.raises(RunError, match="cannot be read"):
        verify(run)
    save_info(copy, run.info | {"left_behind": [first]})
    verify(load(copy))
    snapshot_path(copy, second).unlink()
    with pytest.raises(RunError, match="cannot be read"):
        verify(load(copy))


def everything(folder):
    """All that can be read from a run, by name."""
    run = load(folder)
    arrays = {name: np.asarray(weight) for name, weight in run.model.weights.items()}
    last = run.snapshot(TINY.train.epochs).weights
    arrays |= {f"{name} at the end": np.asarray(weight) for name, weight in last.items()}
    return run.info, arrays | dict(run.metrics)


@pytest.fixture(scope="module")
def fragile(tiny_run, tmp_path_factory):
    folder = shutil.copytree(tiny_run.folder, tmp_path_factory.mktemp("fragile") / "run")
    return folder, everything(folder)


@given(
    name=st.sampled_from(WRITTEN),
    position=st.integers(0, 2**16),
    flips=st.lists(st.integers(1, 255), min_size=1, max_size=3),
    share=st.none() | st.floats(0, 1, exclude_max=True),
)
@settings(deadline=None, max_examples=80)
def test_a_damaged_run_is_refused_or_whole(fragile, name, position, flips, share):
    folder, (info, arrays) = fragile
    whole = (folder / name).read_bytes()
    keep = None if share is None else int(share * len(whole))
    (folder / name).write_bytes(damage(whole, position, flips, keep))
    try:
        found_info, found = everything(folder)
    except RunError:
        return
    finally:
        (folder / name).write_bytes(whole)
    assert found_info == info
    assert set(found) == set(arrays)
    for key, array in arrays.items():
        np.testing.assert_array_equal(found[key], array, err_msg=key)


def test_a_run_stopped_before_its_first_save_has_recorded_nothing(copy, tiny_run):
    save_info(copy, info_of(copy) | {"status": "running", "epoch": 0})
    assert recorded(load(copy)) is not None
    for name in ("metrics.npz", "weights.npz"):
        (copy / name).unlink()
    assert recorded(load(copy)) is None
    verify(load(copy))


def test_commands_can_be_typed_as_they_are_said():
    assert command("resume", Path("runs/a")) == "miiii resume runs/a"
    assert command("show", Path("my run")) == "miiii show 'my run'"


def test_metrics_join_under_names_of_their_own(tiny_run):
    metrics = tiny_run.metrics
    later = Metrics(
        {"late": np.arange(3), "extra": np.ones(3)}, dict.fromkeys(("late", "extra"), ("late",))
    )
    both = metrics.joined(later)
    assert set(both) == {*metrics, "late", "extra"} and both.axes["extra"] == ("late",)
    assert both.until(1)["extra"].shape == (2,)
    with pytest.raises(ValueError, match="'late'.*are in both"):
        both.joined(later)


def test_metrics_are_a_mapping():
    metrics = Metrics({"epoch": np.arange(3)}, {"epoch": ("epoch",)})
    assert len(metrics) == 1 and list(metrics) == ["epoch"] and "loss" not in metrics


def test_metrics_round_trip_through_a_file(copy, tiny_run):
    save_metrics(copy, TINY, tiny_run.metrics.until(8))
    assert load(copy).metrics["epoch"].max() == 8
