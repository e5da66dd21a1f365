"""Trainings that are killed, in processes of their own."""

import itertools
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import TINY, assert_same_run

from miiii_core import files, runs

HERE = Path(__file__).parent
# Many saves in a short run; tracing the other probes would take most of a child's time.
OFTEN = TINY.replace(probes=("zero_loss",), eval_every=3)
# Everything is imported before children are forked, and JAX starts no thread until it computes,
# so that a child costs a fraction of a fresh interpreter. A line "FOLDER NEWS SECONDS" asks for a
# child that is killed so long after it has told that many news of its training; with fewer than
# none it is never killed. The answer has the exit code or minus the signal, how many news were
# told, and how long the child lived.
DRIVER = """
import os, signal, sys, time, traceback
from pathlib import Path
from test_crash import OFTEN
from miiii_core import runs, stored

runs.SAVE_SECONDS = -1.0
take = stored.Recorder.take

def child(folder, started):
    def take_and_tell(*arguments):
        os.write(started, b".")
        return take(*arguments)

    stored.Recorder.take = take_and_tell
    try:
        if (folder / "run.json").exists():
            runs.resume(folder, progress=False)
        else:
            runs.train(OFTEN, folder, progress=False)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)

for line in sys.stdin:
    name, news, seconds = line.split()
    ready, started = os.pipe()
    process = os.fork()
    if not process:
        child(Path(name), started)
    os.close(started)
    born = time.perf_counter()
    told = 0
    while told != int(news) and os.read(ready, 1):
        told += 1
    if int(news) >= 0:
        time.sleep(float(seconds))
        os.kill(process, signal.SIGKILL)
    ended = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    os.close(ready)
    print(ended, told, time.perf_counter() - born, flush=True)
"""


@pytest.fixture
def go_on(tmp_path):
    """Train or resume in a child process, and kill it if told when."""
    # A compiled program that a killed process wrote only half of must not reach other tests.
    flags = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled"), "PYTHONPATH": str(HERE)}
    driver = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", DRIVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=HERE.parent,
        env=os.environ | flags,
    )

    def ask(folder, news=-1, seconds=0.0):
        driver.stdin.write(f"{folder} {news} {seconds}\n")
        driver.stdin.flush()
        ended, told, lived = driver.stdout.readline().split()
        return int(ended), int(told), float(lived)

    yield ask
    driver.communicate(timeout=60)


@pytest.mark.parametrize("enough", [1, pytest.param(20, marks=pytest.mark.thorough)])
def test_killed_at_random_moments_a_run_goes_on_to_the_same_end(tmp_path, go_on, enough):
    assert go_on(tmp_path / "compiling")[0] == 0
    ended, news, seconds = go_on(tmp_path / "whole")
    assert ended == 0
    whole = runs.load(tmp_path / "whole")
    moments, kills, epochs = random.Random(0), 0, set()
    folders = (tmp_path / f"run{i}" for i in itertools.count())
    folder = next(folders)
    # Most kills fall into training, wherever this machine spends its time; some fall before it.
    while kills < enough:
        if kills % 5 == 4:
            ended, *_ = go_on(folder, 0, moments.uniform(0, seconds))
        else:
            ended, *_ = go_on(
                folder, moments.randint(1, news // 2), moments.uniform(0, seconds / news)
            )
        assert ended in (0, -signal.SIGKILL), f"after {kills} kills a child failed"
        kills += ended == -signal.SIGKILL
        if (folder / "run.json").exists():
            run = runs.load(folder)
            runs.verify(run)
            epochs.add(run.epoch)
            if run.finished:
                assert_same_run(run, whole)
                folder = next(folders)
        elif folder.exists():
            assert all(path.match(f".*{files.LEFTOVER}") for path in folder.iterdir())
    if not (folder / "run.json").exists() or not runs.load(folder).finished:
        assert go_on(folder)[0] == 0
    assert_same_run(runs.load(folder), whole)
    assert len(epochs) > enough // 6
