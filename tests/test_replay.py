import numpy as np
import pytest

from miiii_core.training import replay

P, HEADS, NEURONS = 5, 2, 3
DRAW = np.random.default_rng(0)
SCORES = DRAW.normal(size=(2 * P + 1, HEADS))
READS = DRAW.normal(size=(2 * P + 1, HEADS, NEURONS))
BASE = DRAW.normal(size=NEURONS)


def test_attention_is_a_softmax_over_the_three_tokens_of_an_input():
    grid = replay.attention_grid(SCORES)
    assert grid.shape == (3, P, P, HEADS)
    for x0 in range(P):
        for x1 in range(P):
            raw = np.exp([SCORES[x0], SCORES[P + x1], SCORES[2 * P]])
            np.testing.assert_allclose(grid[:, x0, x1], raw / raw.sum(axis=0))


def test_large_scores_do_not_overflow():
    grid = replay.attention_grid(1e4 * SCORES)
    assert np.isfinite(grid).all()
    np.testing.assert_allclose(grid.sum(axis=0), 1)


def test_a_neuron_reads_what_each_head_moves():
    attention = replay.attention_grid(SCORES)
    grids = replay.neuron_grids(SCORES, READS, BASE)
    assert grids.shape == (NEURONS, P, P)
    for x0, x1 in [(0, 0), (3, 1), (4, 4)]:
        tokens = (x0, P + x1, 2 * P)
        moved = sum(
            attention[place, x0, x1, head] * READS[token, head]
            for place, token in enumerate(tokens)
            for head in range(HEADS)
        )
        np.testing.assert_allclose(grids[:, x0, x1], np.maximum(BASE + moved, 0))


@pytest.mark.parametrize("base", [BASE - 100, BASE + 100])
def test_neurons_that_are_off_or_on_everywhere(base):
    grids = replay.neuron_grids(SCORES, READS, base)
    assert (grids == 0).all() or (grids > 0).all()
