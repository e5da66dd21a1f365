import numpy as np
import oracles
import pytest

from miiii_core import shares
from miiii_core.shares import Anova, centred_power, grid_purity
from miiii_core.waves import turns, waves_of

P, MODULI = 11, (2, 3, 5, 7)
N, X = np.arange(P * P), np.arange(P)
RIGHT = turns(waves_of(MODULI), np.array([1, P]))


def noise(units=5):
    return np.random.default_rng(0).normal(size=(P * P, units)).astype(np.float32)


def grids(count=3):
    return np.random.default_rng(0).normal(size=(count, P, P))


def wave(k, phase):
    return np.cos(2 * np.pi * k * X / P + phase)


def product(k0, k1):
    """Waves of both digits and their product, at frequencies of the p-DFT."""
    first, second = wave(k0, 0.3), wave(k1, 1.1)
    return 2 + first[:, None] + 0.5 * second[None, :] + 3 * first[:, None] * second[None, :]


def test_shares_are_those_of_direct_conditional_means():
    found, values = shares.prime_anova(noise(), MODULI), noise().astype(float)
    means, start = oracles.class_means(values, MODULI), 0
    for column, q in enumerate(MODULI):
        expected = means[start : start + q][N % q].var(axis=0) / values.var(axis=0)
        np.testing.assert_allclose(found.primes[:, column], expected, atol=1e-5)
        start += q


def test_constant_units_and_neurons_are_left_out():
    values = np.stack([np.full(P * P, 3.0), N % 2 * 2.0, noise()[:, 0]], 1).astype(np.float32)
    assert shares.prime_anova(values, MODULI).numbers.tolist() == [1, 2]
    found = shares.varying(np.stack([np.full((P, P), 0.7), product(1, 2), np.zeros((P, P))]))
    assert found.numbers.tolist() == [1] and found.grids.shape == (1, P, P)


def test_a_product_of_two_waves_fills_its_block_and_the_stronger_of_two_is_the_best():
    power = centred_power(np.stack([product(2, 5), product(4, 4)]))
    np.testing.assert_allclose(shares.grid_purity(power).whole, 1, rtol=1e-12)
    assert (power[:, 0, 0] == 0).all()
    a, b = (np.outer(wave(k, 0.0), wave(k, 0.0)) for k in (1, 3))
    np.testing.assert_allclose(shares.grid_purity(centred_power((2 * a + b)[None])).whole, 4 / 5)


def test_the_best_block_is_that_of_dense_least_squares():
    (found,) = shares.purity(grids(), *RIGHT)
    for index, grid in enumerate(grids()):
        each = [oracles.block_shares(grid, *pair) for pair in zip(*RIGHT, strict=True)]
        whole, both = np.max(each, axis=0)
        assert found.whole[index] == pytest.approx(whole, abs=1e-8)
        assert found.both[index] == pytest.approx(both, abs=1e-8)
        assert found.pair[index] == np.argmax(each, axis=0)[1]


def test_many_neurons_are_measured_a_few_at_a_time():
    (together,) = shares.purity(grids(shares.CHUNK + 1), *RIGHT)
    (last,) = shares.purity(grids(shares.CHUNK + 1)[-1:], *RIGHT)
    np.testing.assert_allclose(together.both[-1:], last.both)
    assert len(together.both) == shares.CHUNK + 1


def test_pairs_at_frequencies_of_the_dft_are_those_of_its_power_map():
    k = np.arange(1, (P + 1) // 2) / P
    (found,) = shares.purity(grids(), k, k)
    expected = shares.grid_purity(centred_power(grids()), same=True)
    np.testing.assert_allclose(found.whole, expected.whole, atol=1e-10)
    np.testing.assert_allclose(found.both, expected.both, atol=1e-10)
    np.testing.assert_array_equal(found.pair, expected.pair)


def test_a_wave_of_a_remainder_is_all_in_the_block_of_its_pair():
    n = X[:, None] + P * X[None, :]
    found = shares.compare(
        np.cos(2 * np.pi * 2 * n / 7 + 0.3)[None], MODULI, np.random.default_rng(0), 3
    )
    assert found.right.whole[0] == pytest.approx(1) and found.right.both[0] == pytest.approx(1)
    assert all(other.whole[0] < 0.99 for other in (found.equal, found.grid, *found.wrong))


def test_no_wrong_pair_has_its_partner():
    wrong = shares.without_partners(RIGHT[1], np.random.default_rng(0))
    assert (wrong != RIGHT[1]).all()
    np.testing.assert_array_equal(np.sort(wrong), np.sort(RIGHT[1]))


def test_half_a_cycle_has_a_cosine_only():
    waves = shares.digit_waves(P, np.array([0.5, 0.2]))
    assert (waves[0, :, 1] == 0).all()
    np.testing.assert_allclose(waves[1].T @ waves[1], np.eye(2), atol=1e-12)
    np.testing.assert_allclose(waves.sum(axis=1), 0, atol=1e-12)


def test_shuffling_keeps_values_and_rank_of_each_unit():
    n_mod_7 = np.cos(2 * np.pi * N / 7)[:, None].repeat(3, axis=1)
    mixed = shares.digits_shuffled(n_mod_7, np.random.default_rng(0))
    for unit in range(3):
        assert np.sort(mixed[:, unit]) == pytest.approx(np.sort(n_mod_7[:, unit]))
        assert np.linalg.matrix_rank(mixed[:, unit].reshape(P, P), tol=1e-9) == 2
    assert not np.allclose(mixed[:, 0], mixed[:, 1])


def test_levels_are_quantiles_of_chance_by_sorting():
    generator = np.random.default_rng(0)
    primes, waves = generator.random((1001, 4)), generator.random((1001, 5))
    found = shares.levels(Anova(np.arange(1001), np.ones(1001), primes, waves))
    beyond = shares.FALSE_FINDS / 4
    for column, level in zip(primes.T, found.primes, strict=True):
        assert (column > level).mean() == pytest.approx(beyond, abs=1e-3)
    assert (waves > found.waves).mean() == pytest.approx(shares.FALSE_FINDS / 5, abs=1e-3)


def test_random_order_keeps_the_values_and_loses_the_period():
    first, second = np.cos(2 * np.pi * 2 * X / P + 0.3), np.cos(2 * np.pi * 5 * X / P)
    neuron = (first[:, None] + 3 * first[:, None] * second[None, :])[None]
    mixed = shares.in_random_order(neuron, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(mixed, axis=None), np.sort(neuron, axis=None))
    assert grid_purity(centred_power(neuron)).whole[0] == pytest.approx(1)
    assert grid_purity(centred_power(mixed)).whole[0] < 0.9


def test_even_perfect_neurons_do_not_fill_a_block():
    neurons = shares.perfect_neurons([3, 5], P, np.random.default_rng(0))
    assert neurons.shape == (2 + 4, P, P) and (neurons >= 0).all()
    # max(0, cos a + cos b) repeats when a digit moves by q steps, as far as the grid goes.
    np.testing.assert_allclose(neurons[:2, 3:], neurons[:2, :-3], atol=1e-12)
    np.testing.assert_allclose(neurons[2:, :, 5:], neurons[2:, :, :-5], atol=1e-12)
    assert (grid_purity(centred_power(neurons)).whole < 0.99).all()


def test_where_no_neuron_varies_nothing_is_pure():
    for same in (False, True):
        assert grid_purity(np.zeros((0, 4, 4)), same=same).whole.shape == (0,)


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: shares.without_partners(RIGHT[1][:1], np.random.default_rng(0)), "1 pair"),
        (lambda: shares.digit_waves(P, np.array([1.0])), r"frequencies=\[1.\].*whole cycles"),
        (
            lambda: shares.chance(np.ones((P * P, 2)), MODULI, np.random.default_rng(0)),
            "no unit varies",
        ),
        (lambda: shares.levels(Anova(*[np.zeros((0, 4))] * 4)), "no units"),
        (lambda: shares.prime_anova(np.zeros((120, 2)), MODULI), "120 rows"),
    ],
)
def test_wrong_input_is_named_and_what_is_accepted(call, said):
    with pytest.raises(ValueError, match=said):
        call()
