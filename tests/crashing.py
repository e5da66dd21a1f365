"""A process that trains in children which it kills when told to; driven by test_crash.py.

Everything is imported before the children are forked, and JAX starts no thread
until it computes, so that a child costs a fraction of a fresh interpreter.

Reads lines ``FOLDER SECONDS`` and answers each with how the child ended: its exit
code, or minus the signal. Zero seconds let it finish.
"""

import os
import signal
import sys
import time
import traceback
from pathlib import Path

from tiny import TINY

from miiii_core import runs

BARE = TINY.replace(probes=("zero_loss",))  # tracing the others takes most of a child's time


def go_on(folder: Path) -> None:
    """Train, saving as often as possible, from wherever the folder is."""
    if (folder / "run.json").exists():
        runs.resume(folder, progress=False, save_seconds=-1.0)
    else:
        runs.train(BARE, folder, progress=False, save_seconds=-1.0)


def child(folder: Path) -> int:
    """Start a child; returns its process id."""
    process = os.fork()
    if process:
        return process
    try:
        go_on(folder)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


for line in sys.stdin:
    name, seconds = line.split()
    process = child(Path(name))
    if float(seconds):
        time.sleep(float(seconds))
        os.kill(process, signal.SIGKILL)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
