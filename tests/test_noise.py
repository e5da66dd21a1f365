import numpy as np
import pytest

from miiii_core.analysis import noise


def test_roughness_is_the_way_that_a_record_goes():
    np.testing.assert_array_equal(noise.roughness(np.array([[1, 5], [3, 5], [2, 5]])), [3, 0])


def test_what_grows_or_falls_is_smoother_than_noise_and_noise_is_not():
    draw = np.random.default_rng(1)
    columns = [np.arange(40), np.exp(-np.arange(40.0)), *draw.normal(size=(20, 40))]
    smooth = noise.smoother_than_noise(np.stack(columns, axis=1))
    assert smooth[:2].all() and smooth[2:].sum() <= 2
    assert not noise.smoother_than_noise(np.ones((9, 1))).any()


def test_logarithms_see_a_fall_that_one_large_value_hides():
    falling = np.r_[1e6 * np.array([1.0, 0, 1, 0]), 0.9 ** np.arange(60)][:, None] + 1e-9
    assert noise.smoother_than_noise(falling, log=True).all()
    assert not noise.smoother_than_noise(falling).all()


def test_guesses_are_no_knowledge_and_five_errors_are():
    guesses = np.random.default_rng(0).binomial(1000, 1 / np.array([2, 3, 109])) / 1000
    assert not noise.beyond_guessing(guesses, (2, 3, 109), 1000).any()
    # Of 1000 guesses among two the standard error is 0.0158, so five of them end at 0.579.
    known = noise.beyond_guessing(np.array([0.57, 0.59]), (2, 2), 1000)
    assert known.tolist() == [False, True]


def test_a_random_order_destroys_a_wave_and_keeps_the_values():
    wave = np.cos(2 * np.pi * 3 * np.arange(31) / 31)
    grids = np.stack([np.add.outer(wave, wave), np.ones((31, 31))])

    def peak(values):
        return np.abs(np.fft.fft2(values[0])).max()

    assert noise.in_random_orders(peak, grids, draws=20).max() < 0.8 * peak(grids)
    sums = noise.in_random_orders(lambda g: g.sum(axis=(1, 2)), grids, draws=3)
    np.testing.assert_allclose(sums, np.tile(grids.sum(axis=(1, 2)), (3, 1)), atol=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_draws_repeat_by_their_seed(seed):
    grids = np.random.default_rng(3).normal(size=(2, 7, 7))
    first, again, other = (
        noise.in_random_orders(lambda g: g[:, 0, 0], grids, draws=4, seed=s)
        for s in (seed, seed, seed + 5)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
