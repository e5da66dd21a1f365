"""A process that trains in children which it kills when told to; driven by test_crash.py.

Everything is imported before the children are forked, and JAX starts no thread
until it computes, so that a child costs a fraction of a fresh interpreter.

Reads lines ``FOLDER WHEN SECONDS``: kill the child so many seconds after its ``start``,
or after the first thing it records in ``training``, or ``never``. Answers each with how
the child ended (its exit code, or minus the signal) and how long it had trained.
"""

import os
import signal
import sys
import time
import traceback
from pathlib import Path

from tiny import TINY

from miiii_core import runs
from miiii_core.storage.recorder import Recorder

# Many saves in a short run; tracing the other probes would take most of a child's time.
OFTEN = TINY.replace(probes=("zero_loss",), eval_every=3)


def announce(started: int) -> None:
    """Tell the parent when something is recorded."""
    record = Recorder.record

    def record_and_tell(*arguments):
        os.write(started, b".")
        record(*arguments)

    Recorder.record = record_and_tell


def go_on(folder: Path) -> None:
    """Train, saving as often as possible, from wherever the folder is."""
    if (folder / "run.json").exists():
        runs.resume(folder, progress=False, save_seconds=-1.0)
    else:
        runs.train(OFTEN, folder, progress=False, save_seconds=-1.0)


def child(folder: Path, started: int) -> int:
    """Start a child; returns its process id."""
    process = os.fork()
    if process:
        return process
    try:
        announce(started)
        go_on(folder)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


for line in sys.stdin:
    name, when, seconds = line.split()
    ready, started = os.pipe()
    process = child(Path(name), started)
    os.close(started)
    if when != "start":
        os.read(ready, 1)
    began = time.perf_counter()
    if when != "never":
        time.sleep(float(seconds))
        os.kill(process, signal.SIGKILL)
    ended = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    os.close(ready)
    print(ended, time.perf_counter() - began, flush=True)
