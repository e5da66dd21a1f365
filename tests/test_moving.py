"""A run that one machine begins and another one, given its folder and nothing else, ends."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import TINY, assert_same_run

from miiii_core import runs
from miiii_core.storage import saved
from miiii_core.storage.recorder import Interrupted, Recorder

HERE = Path(__file__).parent


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """The folder of a run that was stopped at epoch 13."""

    def stop_there(self, now, status="running"):
        save(self, now, status)
        if now.epoch == 13:
            raise Interrupted("that will do")

    save = Recorder.save
    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "save", stop_there)
        with pytest.raises(Interrupted):
            runs.train(TINY, tmp_path / "here" / "run", progress=False, save_seconds=0.0)
    return tmp_path / "here" / "run"


def test_a_moved_run_is_ended_by_another_process_and_says_so(stopped, tiny_run, tmp_path):
    elsewhere = tmp_path / "elsewhere" / "renamed"
    shutil.copytree(stopped, elsewhere)
    shutil.rmtree(stopped.parent)
    code = "import sys; from miiii_core import runs; runs.resume(sys.argv[1], progress=False)"
    flags = {"MIIII_RUNS": str(tmp_path / "none"), "PYTHONPATH": str(HERE.parent)}
    subprocess.run(
        [sys.executable, "-c", code, elsewhere], check=True, cwd=tmp_path, env=os.environ | flags
    )
    run = saved.load(elsewhere)
    saved.verify(run)
    assert run.finished
    assert_same_run(run, tiny_run)
    first, second = run.info["sessions"]
    assert (first["from_epoch"], second["from_epoch"]) == (0, 13)
    assert set(first) == set(second) >= {"device", "versions", "code_digest", "code_revision"}


def test_each_session_keeps_its_own_provenance(stopped, monkeypatch):
    monkeypatch.setattr("miiii_core.storage.provenance.device_name", lambda device: "tpu v9")
    run = runs.resume(stopped, progress=False)
    info = json.loads((stopped / "run.json").read_text())
    devices = [session["device"] for session in info["sessions"]]
    assert devices == [info["device"], "tpu v9"] and run.finished


def test_a_finished_run_had_one_session(tiny_run):
    (session,) = tiny_run.info["sessions"]
    assert session["from_epoch"] == 0
    for key in ("device", "started", "code_digest", "code_revision", "versions"):
        assert tiny_run.info[key] == session[key]
