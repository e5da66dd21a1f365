import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from miiii_core import files
from miiii_core.files import RunError, load_arrays, save_arrays, write_atomic

stored = st.dictionaries(
    st.sampled_from(["W_E", "loss", "counts/active", "epoch"]),
    st.sampled_from([np.float32, np.float16, np.int8, np.bool_]).flatmap(
        lambda dtype: arrays_of.arrays(dtype, arrays_of.array_shapes(min_dims=0, max_side=4))
    ),
    min_size=1,
)


@given(arrays=stored, compress=st.booleans())
@settings(deadline=None, max_examples=30)
def test_arrays_come_back_as_they_were_to_us_and_to_numpy(arrays, compress, tmp_path_factory):
    path = tmp_path_factory.mktemp("arrays") / "some.npz"
    save_arrays(path, arrays, compress=compress)
    with np.load(path) as plain:
        for back in (load_arrays(path), dict(plain)):
            assert set(back) == set(arrays)
            for name, array in arrays.items():
                assert back[name].dtype == array.dtype
                np.testing.assert_array_equal(back[name], array)


@pytest.fixture(scope="module", params=[False, True], ids=["stored", "deflated"])
def saved(request, tmp_path_factory):
    """A file with its content and its arrays."""
    path = tmp_path_factory.mktemp("saved") / "some.npz"
    arrays = {"W_E": np.arange(12, dtype=np.float32).reshape(3, 4), "epoch": np.arange(5)}
    save_arrays(path, arrays, compress=request.param)
    return path, path.read_bytes(), arrays


@given(
    position=st.integers(0, 2**16),
    flips=st.lists(st.integers(1, 255), min_size=1, max_size=4),
    share=st.none() | st.floats(0, 1, exclude_max=True),
)
@settings(deadline=None, max_examples=100)
def test_damaged_arrays_are_refused_or_whole(saved, position, flips, share):
    path, content, arrays = saved
    damaged = bytearray(content if share is None else content[: int(share * len(content))])
    for i, flip in enumerate(flips if damaged else ()):
        damaged[(position + i) % len(damaged)] ^= flip
    path.write_bytes(damaged)
    try:
        found = load_arrays(path)
    except RunError as error:
        assert str(path) in str(error)
        return
    for name in set(found) & set(arrays):  # a name that was lost is for the reader to miss
        np.testing.assert_array_equal(found[name], arrays[name])


def test_the_checksum_of_a_file_is_compared(tmp_path):
    save_arrays(tmp_path / "some.npz", {"epoch": np.arange(3)})
    with pytest.raises(RunError, match=r"some\.npz was altered"):
        load_arrays(tmp_path / "some.npz", "0" * 64)
    with pytest.raises(RunError, match=r"gone\.npz cannot be read"):
        load_arrays(tmp_path / "gone.npz")


@pytest.mark.parametrize("call", ["fsync", "replace"])
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


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "snapshots").mkdir()
    kept = {tmp_path / name for name in ("weights.npz", "notes.part", ".hidden")}
    left = {tmp_path / ".run.json.x.part", tmp_path / "snapshots" / ".1.npz.y.part"}
    for path in kept | left:
        path.touch()
    files.make_folder(tmp_path)
    assert set(tmp_path.rglob("*")) == kept | {tmp_path / "snapshots"}


def test_a_folder_is_made_and_left_empty_and_a_file_in_its_place_is_named(tmp_path):
    files.make_folder(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "taken").write_text("mine")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "folder"):
        with pytest.raises(OSError, match="cannot write to .*taken.*; choose another folder"):
            files.make_folder(folder)
    assert (tmp_path / "taken").read_text() == "mine"


HOLD = """
import sys
from pathlib import Path
from miiii_core.files import held

with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def another_process(tmp_path):
    """A process that holds a folder until it is told to let go."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], **pipes)
    assert process.stdout.readline() == "held\n"
    yield lambda: process.communicate("go\n", timeout=30)
    process.kill()
    process.communicate()


def test_no_alias_of_a_folder_leads_past_its_lock(tmp_path, another_process, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    for way in ("../alias", ".", "../below/../run"):
        with pytest.raises(BlockingIOError, match="another process is writing to .*; wait for it"):
            with files.held(Path(way)):
                pass


def test_who_may_wait_waits_and_says_so(tmp_path, another_process, capsys):
    entered = []

    def enter():
        with files.held(tmp_path / "run", wait=True):
            entered.append(True)

    second = threading.Thread(target=enter)
    second.start()
    second.join(0.3)
    assert second.is_alive() and not entered
    another_process()
    second.join(30)
    assert entered and f"writes to {tmp_path / 'run'}" in capsys.readouterr().err
