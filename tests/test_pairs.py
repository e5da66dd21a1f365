import numpy as np
import pytest

from miiii_core.analysis.blocks import centred_power
from miiii_core.analysis.pairs import (
    Pairs,
    compare,
    digit_waves,
    grid_purity,
    purity,
    remainder_pairs,
    wrong_pairs,
)

P, MODULI = 11, (2, 3, 5, 7)
X = np.arange(P)


def noise(count=3):
    return np.random.default_rng(0).normal(size=(count, P, P))


def least_squares(grid, f0, f1):
    """Shares of a block's eight directions, and of four in the interaction, by dense fits."""
    first, second = (
        [np.ones(P), np.cos(2 * np.pi * f * X), np.sin(2 * np.pi * f * X)] for f in (f0, f1)
    )
    block = np.stack([np.outer(u, v).ravel() for u in first for v in second], axis=1)
    centred = (grid - grid.mean()).ravel()
    fit = block @ np.linalg.lstsq(block, centred, rcond=1e-10)[0]
    both = grid - grid.mean(0, keepdims=True) - grid.mean(1, keepdims=True) + grid.mean()
    fit_both = block @ np.linalg.lstsq(block, both.ravel(), rcond=1e-10)[0]
    return (fit @ fit) / (centred @ centred), (fit_both @ fit_both) / (both**2).sum()


def test_the_best_block_is_that_of_dense_least_squares():
    right = remainder_pairs(MODULI, P)
    (found,) = purity(noise(), right)
    for index, grid in enumerate(noise()):
        shares = [least_squares(grid, *pair) for pair in zip(*right, strict=True)]
        whole, both = np.max(shares, axis=0)
        assert found.whole[index] == pytest.approx(whole, abs=1e-8)
        assert found.both[index] == pytest.approx(both, abs=1e-8)


def test_pairs_at_frequencies_of_the_dft_are_those_of_its_power_map():
    k = np.arange(1, (P + 1) // 2) / P
    found = purity(noise(), Pairs(k, k))[0]
    expected = grid_purity(centred_power(noise()), same=True)
    np.testing.assert_allclose(found.whole, expected.whole, atol=1e-10)
    np.testing.assert_allclose(found.both, expected.both, atol=1e-10)


def test_a_wave_of_a_remainder_is_all_in_the_block_of_its_pair():
    n = X[:, None] + P * X[None, :]
    grid = np.cos(2 * np.pi * 2 * n / 7 + 0.3)[None]
    found = compare(grid, MODULI, np.random.default_rng(0), 3)
    assert found.right.whole[0] == pytest.approx(1) and found.right.both[0] == pytest.approx(1)
    assert found.grid.whole[0] < 0.99
    assert all(wrong.whole[0] < 0.99 for wrong in found.wrong)


def test_no_wrong_pair_has_its_partner():
    right = remainder_pairs(MODULI, P)
    wrong = wrong_pairs(right, np.random.default_rng(0))
    assert (wrong.first == right.first).all() and (wrong.second != right.second).all()
    np.testing.assert_array_equal(np.sort(wrong.second), np.sort(right.second))


def test_half_a_cycle_has_a_cosine_only():
    waves = digit_waves(P, np.array([0.5, 0.2]))
    assert (waves[0, :, 1] == 0).all()
    np.testing.assert_allclose(waves[1].T @ waves[1], np.eye(2), atol=1e-12)
    np.testing.assert_allclose(waves.sum(axis=1), 0, atol=1e-12)


def test_one_pair_cannot_be_mixed():
    with pytest.raises(ValueError, match="two or more"):
        wrong_pairs(remainder_pairs((3,), P), np.random.default_rng(0))


def test_whole_cycles_and_unlike_families_are_refused():
    with pytest.raises(ValueError, match="whole cycles"):
        digit_waves(P, np.array([1.0]))
    half = np.array([0.5])
    with pytest.raises(ValueError, match="same first"):
        purity(noise(), Pairs(half, half), Pairs(half / 2, half))
