import errno
import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from tiny import damage

from miiii_core.storage.files import (
    LEFTOVER,
    SMALLEST,
    FileDamaged,
    archive,
    check_writable,
    is_leftover,
    load_arrays,
    load_json,
    remove_leftovers,
    save_arrays,
    save_json,
    write_atomic,
)

stored = st.dictionaries(
    st.sampled_from(["W_E", "loss", "leaf000", "epoch"]),
    st.sampled_from([np.float32, np.float16, np.int32, np.bool_]).flatmap(
        lambda dtype: arrays_of.arrays(dtype, arrays_of.array_shapes(min_dims=0, max_side=4))
    ),
    min_size=1,
)


@given(arrays=stored, compress=st.booleans())
@settings(deadline=None)
def test_arrays_and_header_come_back_as_they_were(arrays, compress, tmp_path_factory):
    path = tmp_path_factory.mktemp("arrays") / "some.npz"
    save_arrays(path, arrays, {"digest": "abc", "axes": {"loss": ["epoch"]}}, compress)
    back, header = load_arrays(path)
    assert header == {"digest": "abc", "axes": {"loss": ["epoch"]}}
    assert set(back) == set(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


@given(arrays=stored)
@settings(deadline=None)
def test_arrays_come_back_whichever_compression_suits_them(arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("arrays") / "some.npz"
    write_atomic(path, archive(arrays, {"digest": "abc"}, SMALLEST))
    back, header = load_arrays(path)
    assert header == {"digest": "abc"} and set(back) == set(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize("methods", [*([method] for method in SMALLEST), SMALLEST])
def test_the_same_arrays_are_the_same_bytes_at_any_time(methods, monkeypatch):
    arrays = {"W_E": np.arange(12.0), "epoch": np.arange(5)}
    first = archive(arrays, {"digest": "abc"}, methods)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2e9))
    assert archive(arrays, {"digest": "abc"}, methods) == first


def test_each_array_gets_the_compression_that_suits_it():
    draws = np.random.default_rng(0)
    arrays = {
        "noise": draws.integers(0, 256, 5000, np.uint8),
        "skewed": draws.binomial(3, 0.05, 5000).astype(np.uint8),
        "slope": np.arange(5000) // 7,
    }
    with zipfile.ZipFile(io.BytesIO(archive(arrays, {}, SMALLEST))) as zipped:
        sizes = {info.filename: info.compress_size for info in zipped.infolist()}
        kinds = {info.filename: info.compress_type for info in zipped.infolist()}
    assert kinds["noise.npy"] != zipfile.ZIP_LZMA, "which makes noise larger"
    assert zipfile.ZIP_LZMA in kinds.values()
    for method in SMALLEST:
        with zipfile.ZipFile(io.BytesIO(archive(arrays, {}, [method]))) as zipped:
            for info in zipped.infolist():
                assert sizes[info.filename] <= info.compress_size


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_files_written_by_numpy_are_read(tmp_path, save):
    """Runs of earlier versions are such files."""
    save(tmp_path / "old.npz", header=np.array('{"digest": "abc"}'), W_E=np.arange(4))
    arrays, header = load_arrays(tmp_path / "old.npz")
    assert header == {"digest": "abc"} and list(arrays["W_E"]) == [0, 1, 2, 3]


def test_no_array_takes_the_place_of_the_header(tmp_path):
    with pytest.raises(ValueError, match="cannot be called header"):
        save_arrays(tmp_path / "some.npz", {"header": np.arange(3)}, {})
    assert not list(tmp_path.iterdir())


def test_objects_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        save_arrays(tmp_path / "some.npz", {"bad": np.array([None])}, {})
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module", params=["plain", "deflated", "lzma"])
def saved(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "some.npz"
    arrays = {"W_E": np.arange(12, dtype=np.float32).reshape(3, 4), "epoch": np.arange(5)}
    method = dict(zip(("plain", "deflated", "lzma"), SMALLEST, strict=True))[request.param]
    write_atomic(path, archive(arrays, {"digest": "abc"}, [method]))
    return path, path.read_bytes(), load_arrays(path)


@given(
    position=st.integers(0, 2**16),
    flips=st.lists(st.integers(1, 255), min_size=1, max_size=4),
    share=st.none() | st.floats(0, 1, exclude_max=True),
)
@settings(deadline=None, max_examples=500)
def test_damaged_arrays_are_refused_or_whole(saved, position, flips, share):
    path, content, (arrays, header) = saved
    keep = None if share is None else int(share * len(content))
    path.write_bytes(damage(content, position, flips, keep))
    try:
        found, read = load_arrays(path)
    except FileDamaged as error:
        assert str(path) in str(error)
        return
    assert read == header
    for name in found:  # entries lost with the zip's directory are for the reader to miss
        np.testing.assert_array_equal(found[name], arrays[name])


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[1, 2"])
def test_json_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(FileDamaged, match="not valid JSON"):
        load_json(tmp_path / "run.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileDamaged, match="gone.npz cannot be read: No such file"):
        load_arrays(tmp_path / "gone.npz")


def test_json_comes_back(tmp_path):
    save_json(tmp_path / "some.json", {"p": 31, "name": "miiii"})
    assert load_json(tmp_path / "some.json") == {"p": 31, "name": "miiii"}


@pytest.mark.parametrize("call", ["fsync", "chmod", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call, error):
    def fail(*_):
        raise error

    path = tmp_path / "weights.npz"
    write_atomic(path, b"old")
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(type(error)):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


KILLED = """
import os, signal, sys
from pathlib import Path
from miiii_core.storage.files import write_atomic

setattr(os, sys.argv[2], lambda *_: os.kill(os.getpid(), signal.SIGKILL))
write_atomic(Path(sys.argv[1]), b"new")
"""


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_killed_in_mid_write_the_old_file_is_whole(tmp_path, call):
    path = tmp_path / "weights.npz"
    write_atomic(path, b"old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), call])
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    (left,) = set(tmp_path.iterdir()) - {path}
    assert is_leftover(left)
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_only_leftovers_are_removed(tmp_path):
    (tmp_path / "snapshots").mkdir()
    kept = [tmp_path / name for name in ("run.json", f"notes{LEFTOVER}", ".hidden")]
    left = [tmp_path / f".run.json.x{LEFTOVER}", tmp_path / "snapshots" / f".1.npz.y{LEFTOVER}"]
    for path in kept + left:
        path.touch()
    remove_leftovers(tmp_path)
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in left)


def test_a_writable_folder_is_made(tmp_path):
    check_writable(tmp_path / "new" / "folder", 1000)
    assert list((tmp_path / "new" / "folder").iterdir()) == []


@pytest.mark.parametrize("below", ["", "folder"])
def test_a_file_where_the_folder_should_be_is_named(tmp_path, below):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(OSError, match="cannot write to .*taken.*; choose another folder"):
        check_writable(tmp_path / "taken" / below, 1000)
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_folder_that_takes_no_file_is_named(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(OSError, match="cannot write to .*: Permission denied; choose another"):
        check_writable(tmp_path, 1000)


def test_too_little_room_is_said_in_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=3000, f_frsize=1000))
    check_writable(tmp_path, 3_000_000)
    with pytest.raises(OSError, match="has 3 MB of room and the run needs 50 MB; make room"):
        check_writable(tmp_path, 50_000_000)
