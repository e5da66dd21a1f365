"""Clusters of T_miiii: planted ones are found, and what they write is what the logits hold."""

import jax
import numpy as np
import pytest

from miiii_core.addition.trigonometry import written_waves
from miiii_core.analysis.blocks import unit_grids
from miiii_core.analysis.pairs import nearest_pair, purity, remainder_pairs
from miiii_core.circuits import products
from miiii_core.claims import mechanism
from miiii_core.config import TaskConfig
from miiii_core.tasks import make_task

P, Q, K, COUNT = 53, 11, 3, 8
TASK = make_task(TaskConfig(name="miiii", p=P, n_validation=50), jax.random.key(0))
PHASES = np.arange(COUNT) * 2 * np.pi / COUNT + 0.1


def neuron(q, k, first, second):
    """(1 + cos α0)(1 + cos α1) over all inputs, at the frequencies that n mod q asks for."""
    x0, x1 = TASK.digits.T
    turn = 2 * np.pi / q
    return (1 + np.cos(turn * k * x0 + first)) * (1 + np.cos(turn * (P * k % q) * x1 + second))


def planted():
    """A ring of neurons that write what they compute, two of another wave, and one of noise."""
    ring = [neuron(Q, K, 2 * phase, -phase) for phase in PHASES]
    pair = [neuron(7, 1, 0.3, 0.4), neuron(7, 1, 1.3, 0.4)]
    noise = np.random.default_rng(0).random(P**2)
    dead = np.zeros(P**2)
    neurons = np.stack([*ring, dead, *pair, noise], axis=1)
    logit_map = np.zeros((neurons.shape[1], sum(TASK.class_sizes)))
    classes = 2 * np.pi * K * np.arange(Q) / Q
    column = TASK.columns[TASK.moduli.index(Q)]
    logit_map[:COUNT, column] = np.cos(classes[None] + PHASES[:, None])
    return neurons, logit_map


def test_planted_clusters_are_found_with_what_they_do():
    second, ring = products.remainder_clusters(TASK, *planted())
    assert [(c.modulus, c.frequency) for c in (second, ring)] == [(7, 1), (Q, K)]
    assert second.neurons.tolist() == [COUNT + 1, COUNT + 2]
    assert ring.neurons.tolist() == list(range(COUNT))
    assert ring.fit.min() > 0.97 > 0.7 > np.median(ring.fit_other_phases)
    assert ring.locked.min() > 0.99 and np.median(ring.fit_other_frequency) < 0.1
    assert ring.sum_aligned > 0.99 and ring.written_aligned > 0.99
    assert ring.written_aligned_control == pytest.approx(np.cos(2 * np.pi / COUNT), abs=0.01)
    np.testing.assert_allclose(ring.alone, (0.25, 0, 0.25, 0.5), atol=0.03)
    assert ring.together.wanted > 0.99
    assert second.together.wanted == 0  # writes nothing


def test_neurons_that_write_another_phase_do_not_pull_together():
    neurons, logit_map = planted()
    logit_map[:COUNT] = logit_map[np.random.default_rng(1).permutation(COUNT)]
    ring = products.remainder_clusters(TASK, neurons, logit_map)[1]
    assert ring.written_aligned < 0.5 and ring.together.wanted < 0.5


def test_what_a_cluster_writes_is_in_the_logits():
    """Against least squares on the logits themselves, over inputs and classes at once."""
    neurons, logit_map = planted()
    ring = products.remainder_clusters(TASK, neurons, logit_map)[1]
    column = TASK.columns[TASK.moduli.index(Q)]
    logits = neurons[:, :COUNT] @ logit_map[:COUNT, column]
    x0, x1 = TASK.digits.T
    turn, classes = 2 * np.pi / Q, np.arange(Q)
    own = {s: K * x0 + s * (P * K % Q) * x1 for s in (1, -1)}
    waves = [f(turn * (own[s][:, None] + t * K * classes)) for s in (1, -1) for t in (-1, 1)
             for f in (np.cos, np.sin)]  # fmt: skip
    design = np.stack([wave.ravel() for wave in waves], axis=1)
    sizes = np.linalg.lstsq(design, logits.ravel(), rcond=None)[0] ** 2
    assert ring.together.wanted == pytest.approx(sizes[0] / sizes.sum(), abs=5e-3)


def test_the_nearest_pair_is_the_one_that_purity_speaks_of():
    grids = unit_grids(TASK, np.random.default_rng(2).random((P**2, 5)))
    pairs = remainder_pairs(TASK.moduli, P)
    found = nearest_pair(grids, pairs)
    np.testing.assert_allclose(found.share, purity(grids, pairs)[0].both)
    for grid, pair, share in zip(grids, *found, strict=True):
        waves = products.pair_waves(grid[None], pairs.first[pair], pairs.second[pair])
        both = grid - grid.mean(0) - grid.mean(1)[:, None] + grid.mean()
        energy = abs(waves.total[0]) ** 2 + abs(waves.difference[0]) ** 2
        assert share == pytest.approx(energy / (both**2).sum())


def test_waves_along_classes_are_those_of_the_fourier_transform():
    columns = np.random.default_rng(3).normal(size=(4, Q))
    found = written_waves(columns, np.full(4, K))
    np.testing.assert_allclose(found, np.sqrt(2 / Q) * np.fft.fft(columns)[:, K])


def test_without_clusters_nothing_is_claimed():
    noise = np.random.default_rng(4).random((P**2, 6))
    assert products.remainder_clusters(TASK, noise, planted()[1][:6]) == []
    numbers = mechanism.product_numbers([], 6)
    assert set(numbers.values()) == {0}
    numbers = mechanism.product_numbers(products.remainder_clusters(TASK, *planted()), 12)
    assert numbers["share of neurons in clusters"] == 10 / 12 and numbers["clusters"] == 2


@pytest.mark.parametrize("name", ["divisible", "nanda"])
def test_a_task_of_something_else_is_refused(name):
    other = make_task(TaskConfig(name=name, p=P, n_validation=50), jax.random.key(0))
    with pytest.raises(ValueError, match=f"T_{name} are no remainders of n; give T_miiii's"):
        products.remainder_clusters(other, *planted())
