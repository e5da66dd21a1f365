"""Results whose weights do not travel: their trainings begin today as they began then."""

import numpy as np
import pytest

from benchmarks import forks, neighbours
from miiii_core.claims import stored_seeds
from miiii_core.milestones import Curve
from miiii_core.storage.results import curve_of, read_lines
from miiii_core.training.train import fit, initial_state, task_of

CLOSE = 5e-4  # of a mean accuracy: a few answers of all, where another seed is dozens away


def begin(config, until):
    """Mean validation accuracy up to some epoch."""
    config, points = config.replace(probes=(), n_snapshots=0), []
    task = task_of(config)
    for now in fit(config, task, initial_state(config, task)):
        if now.metrics is not None:
            points.append((now.epoch, now.metrics["accuracy"][1].mean()))
        if now.epoch >= until:
            return Curve(*map(np.array, zip(*points, strict=True)))
    raise AssertionError(f"{config.train.epochs} epochs end before {until}")


def apart(one, other):
    """The most by which two curves differ where both were recorded."""
    _, mine, theirs = np.intersect1d(one.epochs, other.epochs, return_indices=True)
    assert len(mine) >= 4
    return np.abs(one.accuracy[mine] - other.accuracy[theirs]).max()


def test_a_seed_begins_as_its_curve_does_and_as_no_other():
    mine, *others = (seed.runs["miiii"] for seed in stored_seeds())
    again = begin(mine.config, 6)
    assert apart(again, mine.curve) < CLOSE
    assert all(apart(again, other.curve) > CLOSE for other in others)


def test_a_neighbour_begins_as_its_curve_does_and_as_no_other_field():
    rows = {row["digest"]: row for row in read_lines(neighbours.RESULTS)}
    config = neighbours.chosen(["n_heads"])[0]
    again = begin(config, 6)
    assert apart(again, curve_of(rows.pop(config.digest))) < CLOSE
    wide = [row for row in rows.values() if row["d_model"] != config.model.d_model]
    assert all(apart(again, curve_of(row)) > CLOSE for row in wide)


@pytest.mark.parametrize("place", range(0, len(forks.FORKS), 3))
def test_a_fork_begins_as_its_curve_does_and_not_as_one_from_other_weights(place):
    fork = forks.FORKS[place]
    rows = {row["digest"]: row for row in read_lines(forks.RESULTS)}
    config = forks.config_of(fork, seed=0)
    again = begin(config, 8)
    assert apart(again, curve_of(rows[config.digest])) < 3 * CLOSE
    other = forks.config_of({} if "init" in fork else {"init": "nanda"}, seed=0)
    assert apart(again, curve_of(rows[other.digest])) > 20 * CLOSE
