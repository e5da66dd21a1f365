import itertools
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import TINY, assert_same_run

from miiii_core import runs
from miiii_core.storage import saved
from miiii_core.storage.files import is_leftover

KILLS = 20
HERE = Path(__file__).parent


@pytest.fixture
def go_on(tmp_path):
    """Train or resume in a child process, and kill it if told when."""
    # A compiled program that a killed process wrote only half of must not reach other tests.
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled")}
    driver = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(HERE / "crashing.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )

    def ask(folder, when="never", seconds=0.0):
        driver.stdin.write(f"{folder} {when} {seconds}\n")
        driver.stdin.flush()
        ended, trained = driver.stdout.readline().split()
        return int(ended), float(trained)

    yield ask
    driver.communicate(timeout=60)


def test_killed_at_random_moments_a_run_goes_on_to_the_same_end(tmp_path, go_on):
    assert go_on(tmp_path / "compiling")[0] == 0
    ended, seconds = go_on(tmp_path / "whole")
    assert ended == 0
    whole = saved.load(tmp_path / "whole")

    moments = random.Random(0)
    kills, epochs, folders = 0, set(), (tmp_path / f"run{i}" for i in itertools.count())
    folder = next(folders)
    while kills < KILLS:
        when = "start" if kills % 5 == 4 else "training"
        ended, _ = go_on(folder, when, moments.uniform(0, seconds))
        assert ended in (0, -signal.SIGKILL)
        kills += ended == -signal.SIGKILL
        if (folder / "run.json").exists():
            run = saved.load(folder)
            saved.verify(run)
            epochs.add(run.epoch)
            if run.finished:
                assert_same_run(run, whole)
                folder = next(folders)
        elif folder.exists():
            assert all(map(is_leftover, folder.iterdir()))
    if not (folder / "run.json").exists() or not saved.load(folder).finished:
        assert go_on(folder)[0] == 0
    assert_same_run(saved.load(folder), whole)
    assert len(epochs) > 3  # the kills fell into training, not only before it


INTERRUPTED = """
import os, signal
from miiii_core import cli
from miiii_core.storage.recorder import Recorder

record = Recorder.record

def record_and_stop(self, now):
    record(self, now)
    if now.epoch == 8:
        os.kill(os.getpid(), signal.SIGINT)

Recorder.record = record_and_stop
cli.main()
"""
PLAIN = "from miiii_core import cli; cli.main()"


def command(script, *arguments):
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True
    )


def test_ctrl_c_saves_and_says_how_to_resume(tmp_path):
    config = TINY.replace(probes=("zero_loss",))
    options = []
    for section in json.loads(config.to_json()).values():
        for name, value in section.items():
            text = ",".join(map(str, value)) if isinstance(value, list) else value
            options.append(f"--{name.replace('_', '-')}={text}")
    folder = tmp_path / "run"

    stopped = command(INTERRUPTED, "train", "--out", folder, *options)
    assert stopped.returncode == 130
    last = stopped.stderr.strip().splitlines()[-1]
    assert last == f"miiii: stopped at epoch 8; go on with: miiii resume {folder}"
    assert "Traceback" not in stopped.stderr
    assert saved.load(folder).info["status"] == "interrupted"

    resumed = command(PLAIN, *last.split("miiii ")[-1].split())
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.startswith(f"finished {folder} at epoch 40")
    assert "100%" in resumed.stderr
    whole = runs.train(config, tmp_path / "whole", progress=False)
    assert_same_run(saved.load(folder), whole)
