import numpy as np
import pytest

from miiii_core.analysis import anova

P, MODULI = 11, (2, 3, 5, 7)
N = np.arange(P * P)


def noise(units=5):
    return np.random.default_rng(0).normal(size=(P * P, units)).astype(np.float32)


def test_shares_are_those_of_direct_conditional_means():
    found = anova.prime_anova(noise(), MODULI)
    for unit, values in enumerate(noise().T.astype(float)):
        for column, q in enumerate(MODULI):
            means = np.array([values[N % q == r].mean() for r in range(q)])
            share = means[N % q].var() / values.var()
            assert found.primes[unit, column] == pytest.approx(share, abs=1e-5)


def test_constant_units_are_left_out_and_pooling_weighs_by_variance():
    values = np.stack([np.full(P * P, 3.0), N % 2 * 2.0, noise()[:, 0]], 1).astype(np.float32)
    found = anova.prime_anova(values, MODULI)
    assert found.numbers.tolist() == [1, 2]
    expected = found.variance / found.variance.sum() @ found.primes
    np.testing.assert_allclose(anova.pooled(found), expected)


def test_the_interaction_has_no_row_or_column_means():
    grid = np.asarray(anova.interaction_of(noise())).reshape(P, P, -1)
    np.testing.assert_allclose(grid.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(grid.mean(axis=1), 0, atol=1e-6)


def test_shuffling_keeps_values_and_rank_of_each_unit():
    n_mod_7 = np.cos(2 * np.pi * N / 7)[:, None].repeat(3, axis=1)
    mixed = anova.digits_shuffled(n_mod_7, np.random.default_rng(0))
    for unit in range(3):
        assert np.sort(mixed[:, unit]) == pytest.approx(np.sort(n_mod_7[:, unit]))
        assert np.linalg.matrix_rank(mixed[:, unit].reshape(P, P), tol=1e-9) == 2
    assert not np.allclose(mixed[:, 0], mixed[:, 1])


def test_planted_waves_are_counted_and_noise_is_not():
    draw = np.random.default_rng(1)
    phases = draw.uniform(0, 6, (2, 40))
    waves = [
        np.cos(2 * np.pi * N[:, None] / q + phase) for q, phase in zip((5, 7), phases, strict=True)
    ]
    planted = sum(waves).astype(np.float32)
    found = anova.count_waves(planted, MODULI, draw)
    assert found.active == pytest.approx(2, abs=0.4)
    assert found.by_chance < 0.3
    nothing = anova.count_waves(draw.normal(size=(P * P, 200)).astype(np.float32), MODULI, draw)
    assert nothing.active < 0.3


def test_the_rule_of_two_deviations():
    shares = np.array([[0.1] * 9 + [1.0], [0.1] * 10])
    assert anova.standing_out(shares).sum(axis=1).tolist() == [1, 0]


def test_neurons_without_interaction_have_no_waves():
    flat = np.zeros((P * P, 3), np.float32)
    assert anova.count_waves(flat, MODULI, np.random.default_rng(0)) == (0, 0, 0, 0)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"p² of them"):
        anova.prime_anova(noise()[:-1], MODULI)
    with pytest.raises(ValueError, match="no unit varies"):
        anova.chance(np.ones((P * P, 2)), MODULI, np.random.default_rng(0))


@pytest.mark.parametrize("rows, p", [(1, 1), (49, 7), (12769, 113)])
def test_the_side_is_the_root(rows, p):
    assert anova.side_of(np.zeros((rows, 1))) == p


def test_levels_are_quantiles_of_chance_by_sorting():
    generator = np.random.default_rng(0)
    primes, waves = generator.random((1001, 4)), generator.random((1001, 5))
    null = anova.Anova(np.arange(1001), np.ones(1001), primes, waves)
    found = anova.levels(null)
    beyond = anova.FALSE_FINDS / 4
    for column, level in zip(primes.T, found.primes, strict=True):
        assert (column > level).mean() == pytest.approx(beyond, abs=1e-3)
    assert (waves > found.waves).mean() == pytest.approx(anova.FALSE_FINDS / 5, abs=1e-3)
    nothing = anova.Anova(np.arange(0), np.ones(0), primes[:0], waves[:0])
    with pytest.raises(ValueError, match="no shares were given to find levels by"):
        anova.levels(nothing)
