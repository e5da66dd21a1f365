import dataclasses
import io
import shutil
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import TINY, contents

from miiii_core.network.model import WEIGHT_NAMES
from miiii_core.storage import parcels
from miiii_core.storage.files import write_atomic
from miiii_core.storage.parcels import COUNTED, WORTH, by_worth, parcel
from miiii_core.storage.saved import RunError, load, save_info

LARGE = 8_000_000


def written(files, info, folder):
    """A parcel on disk, read as a run."""
    (folder / "snapshots").mkdir(parents=True)
    for name, content in files.items():
        write_atomic(folder / name, content)
    save_info(folder, info)
    return load(folder)


def with_room(run, room, folder):
    return written(*parcel(run, room), folder)


def size_of(run, *names):
    """Bytes of a parcel's files, or of those of a kind."""
    files, _ = parcel(run, LARGE)
    return sum(len(files[n]) for n in files if not names or n.split("/")[0] in names)


@pytest.fixture(scope="module")
def whole(tiny_run, tmp_path_factory):
    return with_room(tiny_run, LARGE, tmp_path_factory.mktemp("parcel") / "tiny")


@pytest.fixture(scope="module")
def bulky_run(tiny_run, tmp_path_factory):
    """A run whose snapshots are what takes room."""
    from miiii_core import runs

    config = TINY.replace(d_model=64, mlp_ratio=4, probes=(), n_snapshots=8)
    return runs.train(config, tmp_path_factory.mktemp("runs") / "bulky", progress=False)


# What comes back


def test_the_weights_are_exact(whole, tiny_run):
    for name, weight in tiny_run.model.weights.items():
        np.testing.assert_array_equal(
            np.asarray(whole.model.weights[name]).view(np.uint32),
            np.asarray(weight).view(np.uint32),
        )


def test_what_was_recorded_is_rounded_as_is_said(whole, tiny_run):
    said = whole.info["packed"]["recorded"]
    assert whole.metrics.axes == tiny_run.metrics.axes
    assert sorted([*said["exact"], *said["rounded"]]) == sorted(tiny_run.metrics)
    for name, exact in tiny_run.metrics.items():
        found, error = whole.metrics[name], said["rounded"].get(name, 0)
        assert found.shape == exact.shape and found.dtype == exact.dtype
        counted = np.isfinite(exact)
        np.testing.assert_array_equal(found[~counted], exact[~counted])
        off = np.abs(found[counted] - exact[counted].astype(np.float64))
        assert (off <= 1.01 * error * np.abs(exact[counted])).all(), name
        assert error <= 2**-10


def test_what_was_counted_is_exact(whole, tiny_run):
    for name in (*COUNTED, "epoch", "wide_epoch"):
        np.testing.assert_array_equal(whole.metrics[name], tiny_run.metrics[name])


def test_a_small_run_keeps_all_snapshots_as_recorded(whole, tiny_run):
    assert whole.snapshot_epochs == tiny_run.snapshot_epochs
    for epoch in tiny_run.snapshot_epochs[:-1]:
        recorded, found = tiny_run.snapshot(epoch).weights, whole.snapshot(epoch).weights
        for name in WEIGHT_NAMES:
            np.testing.assert_array_equal(np.asarray(found[name]), np.asarray(recorded[name]))
    assert whole.info["packed"]["snapshots_left_out"] == []
    assert whole.info["packed"]["snapshots_rounded"] == {}


def test_the_snapshot_of_the_end_is_the_weights(whole):
    assert f"snapshots/{whole.epoch:08d}.npz" not in contents(whole.folder)
    last = whole.snapshot(whole.epoch).weights
    for name, weight in whole.model.weights.items():
        np.testing.assert_array_equal(np.asarray(last[name]), np.asarray(weight))


def test_provenance_travels_along(whole, tiny_run):
    assert {k: v for k, v in whole.info.items() if k != "packed"} == tiny_run.info
    assert whole.config == tiny_run.config and whole.finished


def test_packing_twice_gives_the_same_bytes(tiny_run):
    assert parcel(tiny_run, LARGE) == parcel(load(tiny_run.folder), LARGE)


def test_a_parcel_is_smaller_than_its_run(bulky_run):
    before = sum(map(len, contents(bulky_run.folder).values()))
    assert size_of(bulky_run) < before


def test_files_are_archives_that_numpy_reads(tiny_run):
    for content in parcel(tiny_run, LARGE)[0].values():
        with zipfile.ZipFile(io.BytesIO(content)) as zipped:
            assert {info.date_time for info in zipped.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            assert all(arrays[name] is not None for name in arrays.files)


# When room is short


def test_snapshots_are_rounded_when_they_do_not_fit_as_recorded(bulky_run, tmp_path):
    room = parcels.ROOM_FOR_INFO + size_of(bulky_run) - 1
    run = with_room(bulky_run, room, tmp_path / "bulky")
    said = run.info["packed"]
    assert run.snapshot_epochs == bulky_run.snapshot_epochs and said["snapshots_left_out"] == []
    assert set(said["snapshots_rounded"]) == set(WEIGHT_NAMES)
    for epoch in run.snapshot_epochs[:-1]:
        recorded, found = bulky_run.snapshot(epoch).weights, run.snapshot(epoch).weights
        for name in WEIGHT_NAMES:
            exact = np.asarray(recorded[name], np.float64)
            off = np.linalg.norm(np.asarray(found[name]) - exact) / np.linalg.norm(exact)
            assert 0 < off <= 1.01 * said["snapshots_rounded"][name] < 0.02


def test_the_most_telling_snapshots_are_kept_when_not_all_fit(bulky_run, tmp_path, monkeypatch):
    monkeypatch.setattr(parcels, "WORTH", (16, 4))
    fixed = parcels.ROOM_FOR_INFO + size_of(bulky_run, "metrics.npz", "weights.npz")
    one = size_of(bulky_run, "snapshots") // (len(bulky_run.snapshot_epochs) - 1)
    run = with_room(bulky_run, fixed + one + one // 5, tmp_path / "bulky")
    order = by_worth(bulky_run.snapshot_epochs, bulky_run.epoch)
    kept = set(run.snapshot_epochs) - {run.epoch}
    assert kept == set(order[: len(kept)]) and 0 < len(kept) < len(order)
    assert run.info["packed"]["snapshots_left_out"] == sorted(order[len(kept) :])
    with pytest.raises(RunError, match=f"no snapshot of epoch {order[-1]}; there are"):
        run.snapshot(order[-1])
    none = with_room(bulky_run, fixed, tmp_path / "none")
    assert none.snapshot_epochs == (none.epoch,)


def test_a_parcel_keeps_within_its_room(bulky_run):
    for room in range(LARGE // 100, LARGE // 8, LARGE // 40):
        try:
            files, _ = parcel(bulky_run, room)
        except RunError:
            continue
        assert sum(map(len, files.values())) + parcels.ROOM_FOR_INFO <= room


def test_too_little_room_is_refused_in_figures(tiny_run):
    fixed = size_of(tiny_run, "metrics.npz", "weights.npz")
    over = (fixed + parcels.ROOM_FOR_INFO - 11_000) / 1e6
    with pytest.raises(RunError, match=f"takes {over:.3f} MB more than the 0.011 MB"):
        parcel(tiny_run, 11_000)


def test_a_run_without_snapshots_has_none_when_packed(tmp_path):
    from miiii_core import runs

    config = TINY.replace(n_snapshots=0, probes=())
    run = runs.train(config, tmp_path / "run", progress=False)
    assert with_room(run, LARGE, tmp_path / "packed").snapshot_epochs == ()


# Refused


def test_an_unfinished_run_is_refused(tiny_run):
    running = dataclasses.replace(tiny_run, info=tiny_run.info | {"status": "running", "epoch": 8})
    with pytest.raises(RunError, match="is running at epoch 8: only a finished run can be packed"):
        parcel(running, LARGE)


def test_a_packed_run_is_not_packed_again(whole):
    with pytest.raises(RunError, match="packed already: pack the run that it was made from"):
        parcel(whole, LARGE)


@pytest.mark.parametrize("name", ["weights.npz", "metrics.npz", "snapshots/00000040.npz"])
def test_a_damaged_run_is_refused(tiny_run, tmp_path, name):
    copy = shutil.copytree(tiny_run.folder, tmp_path / "copy")
    (copy / name).write_bytes((copy / name).read_bytes()[:-40])
    with pytest.raises(RunError, match=name):
        parcel(load(copy), LARGE)


# Order of worth


def test_the_papers_epochs_come_first():
    epochs = [1, 2, 3, 100, 250, 900, 1023, 4000, 5000, 16000, 40000, 65536]
    assert by_worth(epochs, 65536)[:4] == [16000, 4000, 1023, 250]
    assert by_worth(WORTH, 65536) == list(WORTH)


def test_the_rest_is_spread_evenly():
    epochs = [2**i for i in range(17)]
    order = by_worth(epochs, 2**16)
    assert order[:4] == list(WORTH)
    assert order[4] == 1, "eight doublings from the nearest that is there"
    assert order[5] == 16


@given(epochs=st.sets(st.integers(0, 70000), max_size=30), end=st.integers(1, 70000))
@settings(deadline=None)
def test_every_snapshot_but_the_end_has_its_place(epochs, end):
    order = by_worth(epochs, end)
    assert sorted(order) == sorted(epochs - {end})
    assert order == by_worth(sorted(epochs), end)
