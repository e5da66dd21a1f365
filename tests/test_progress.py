import numpy as np
import oracles_circuits as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miiii_core.analysis import progress

P = 11
VALUES = np.random.default_rng(0).normal(size=(P * P, 4))


@given(st.sets(st.integers(1, P // 2)))
def test_kept_and_removed_parts_are_least_squares_fits_and_add_up(frequencies):
    chosen = sorted(frequencies)
    waves = progress.sum_waves(P, chosen)
    fit = oracle.wave_fit(VALUES, P, chosen) if chosen else 0 * VALUES
    kept, left = progress.restricted(VALUES, waves), progress.excluded(VALUES, waves)
    np.testing.assert_allclose(kept, fit + VALUES.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(left, VALUES - fit, atol=1e-12)
    np.testing.assert_allclose(kept + left, VALUES + VALUES.mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("p", [3, 11, 31])
def test_waves_of_all_frequencies_are_orthonormal(p):
    waves = progress.sum_waves(p, range(1, (p + 1) // 2))
    np.testing.assert_allclose(waves.T @ waves, np.eye(p - 1), atol=1e-12)


@pytest.mark.parametrize("frequencies", [[], [2], [1, 5]])
def test_block_waves_hold_all_that_a_frequency_can_do(frequencies):
    waves = progress.block_waves(P, frequencies)
    assert waves.shape == (P * P, 8 * len(frequencies))
    np.testing.assert_allclose(waves.T @ waves, np.eye(8 * len(frequencies)), atol=1e-12)
    fit = oracle.block_fit(VALUES, P, frequencies)
    np.testing.assert_allclose(waves @ (waves.T @ VALUES), fit, atol=1e-12)


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 3.0, 100.0]))
def test_cross_entropy_is_that_of_a_loop(seed, scale):
    draw = np.random.default_rng(seed)
    logits, targets = scale * draw.normal(size=(7, 5)), draw.integers(0, 5, size=7)
    found = progress.cross_entropy(logits.astype(np.float32), targets)
    each = [oracle.scores(logits, targets[:, None], (5,), [row])[0][0] for row in range(7)]
    np.testing.assert_allclose(found, each, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("gap", [10.0, 20.0, 40.0, 80.0])
def test_cross_entropy_keeps_the_digits_of_tiny_losses(gap):
    logits = np.array([[gap, 0.0, 0.0]], np.float32)
    found = progress.cross_entropy(logits, np.array([0]))
    np.testing.assert_allclose(found, np.log1p(2 * np.exp(-gap)), rtol=1e-5)


def planted(weights, noise):
    """Logits Σ a_k cos(2πk(x0 + x1 - c)/p), by loops, with a class mean and noise on top."""
    logits = noise * np.random.default_rng(1).normal(size=(P * P, P))
    for n in range(P * P):
        for c in range(P):
            for k, a in weights.items():
                logits[n, c] += a * np.cos(2 * np.pi * k * (n % P + n // P - c) / P)
    return logits + np.arange(P)


def test_planted_cosines_of_the_sum_less_the_class_are_found_in_full():
    shares = progress.addition_shares(planted({2: 3.0, 5: 1.0}, 0), [1, 2, 5])
    np.testing.assert_allclose(shares, [0, 0.9, 0.1], atol=1e-12)


def test_noise_has_next_to_no_share_and_constant_logits_none():
    assert progress.addition_shares(planted({}, 1.0), [1, 2, 3, 4, 5]).sum() < 0.05
    assert progress.addition_shares(np.ones((P * P, P)), [1]).sum() == 0


def test_frequencies_that_do_not_exist_are_named():
    with pytest.raises(ValueError, match=r"frequencies \[0, 6\] will not do; at p = 11 take 1 to"):
        progress.sum_waves(P, [0, 3, 6])


def test_rows_must_match():
    with pytest.raises(ValueError, match="121 rows of values and 9 of waves"):
        progress.excluded(VALUES, progress.sum_waves(3, [1]))


def test_waves_must_be_orthonormal():
    with pytest.raises(ValueError, match="not orthonormal"):
        progress.restricted(VALUES, 2 * progress.sum_waves(P, [1]))
