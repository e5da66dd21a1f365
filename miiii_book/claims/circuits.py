"""Claims of ours about which part of the network serves which task."""

from functools import partial

import numpy as np

from miiii_core.runs import Run

from ..circuits import BROKEN, KEPT, break_by_neurons, break_by_subspaces, lay_out, sieve_numbers
from .claim import Measured, beside


def _broken(run: Run, *, by_neurons: bool) -> Measured:
    bench = lay_out(run)
    found, solved = (break_by_neurons if by_neurons else break_by_subspaces)(bench), bench.solved
    broken = solved & (found.own <= BROKEN)
    return {
        "tasks solved": int(solved.sum()),
        "broken": int(broken.sum()),
        "of these, not by random sets": int((broken & (found.random_own >= 0.5)).sum()),
        "others spared": int((solved & (found.others >= KEPT)).sum()),
        "median size": float(np.median(found.sizes)),
    }


def _sieve(run: Run) -> Measured:
    bench = lay_out(run)
    found = sieve_numbers(bench, break_by_subspaces(bench).parts)
    precision, recall = found.precision_recall(run.task.held_out)
    return {
        "tasks solved": int(bench.solved.sum()),
        "precision on numbers held out": precision,
        "recall on numbers held out": recall,
    }


MEASURES = {
    "own-neurons": beside(partial(_broken, by_neurons=True), "miiii"),
    "own-subspace": beside(partial(_broken, by_neurons=False), "miiii"),
    "prime-sieve": beside(_sieve, "miiii"),
}
