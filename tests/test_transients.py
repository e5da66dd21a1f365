import numpy as np
import pytest

from miiii_core.analysis import transients
from miiii_core.analysis.anova import interaction_of, prime_anova
from miiii_core.analysis.atoms import waves_of

MODULI = (2, 3, 5, 7)
P = 11


def places(*wanted):
    """Indices of waves by their fractions."""
    waves = waves_of(MODULI)
    pairs = list(zip(waves.k.tolist(), waves.modulus.tolist(), strict=True))
    return [pairs.index(one) for one in wanted]


def test_strengths_are_those_of_a_plain_sum_over_all_inputs():
    generator = np.random.default_rng(0)
    neurons = generator.normal(size=(P * P, 3))
    found = transients.strengths(neurons, MODULI)
    grid = neurons.reshape(P, P, 3)
    both = grid - grid.mean(axis=0) - grid.mean(axis=1, keepdims=True) + grid.mean(axis=(0, 1))
    assert found.total == pytest.approx((both**2).mean(axis=(0, 1)).sum(), rel=1e-4)
    for place, (k, q) in zip(places((1, 2), (2, 5), (3, 7)), [(1, 2), (2, 5), (3, 7)], strict=True):
        n = np.arange(P * P)
        means = np.stack([both.reshape(-1, 3)[n % q == r].mean(axis=0) for r in range(q)])
        part = np.exp(-2j * np.pi * k * np.arange(q) / q) @ means / q
        energy = (1 if q == 2 else 2) * (np.abs(part) ** 2).sum()
        assert found.energy[place] == pytest.approx(energy, rel=1e-3)


def test_the_level_of_chance_is_what_random_orders_have():
    generator = np.random.default_rng(1)
    grid = generator.normal(size=(P * P, 400)) ** 3
    found = transients.strengths(grid, MODULI)
    level = transients.chance_share(MODULI, P)
    np.testing.assert_allclose(found.energy / found.total, level, rtol=0.2)


def alike(generator, units=40):
    """Interactions of neurons that read one stream: mixtures of two, each on the whole grid."""
    both = generator.normal(size=(P * P, 2)) @ generator.normal(size=(2, units))
    return both + 0.1 * generator.normal(size=(P * P, units))


def test_neurons_that_are_alike_show_waves_by_chance_and_the_level_knows_it():
    """Independent ones as many would not: the level is of all neurons in one order together."""
    found = [transients.strengths(alike(np.random.default_rng(i)), MODULI) for i in range(40)]
    above = np.array([one.energy / one.total for one in found])
    above = (above / transients.chance_share(MODULI, P)).max(axis=1)
    chance = np.array([one.chance for one in found])
    assert (above > transients.PRESENT).mean() > 0.5
    # One more order exceeds the most of a hundred once in a hundred and one.
    assert (above > chance).sum() <= 4
    free = transients.strengths(np.random.default_rng(0).normal(size=(P * P, 4000)), MODULI)
    assert free.chance < transients.PRESENT


def test_what_chance_can_do_is_the_most_of_plain_random_orders(monkeypatch):
    monkeypatch.setattr(transients, "ORDERS", 5)
    both = interaction_of(alike(np.random.default_rng(1)))
    generator, most = np.random.default_rng(0), 0.0
    grid = np.asarray(both, float).reshape(P, P, -1)
    for _ in range(5):
        high, low = generator.permutation(P), generator.permutation(P)
        shuffled = grid[high][:, low].reshape(P * P, -1)
        energy = prime_anova(shuffled.astype(np.float32), MODULI)
        share = energy.variance @ energy.waves / energy.variance.sum()
        most = max(most, (share / transients.chance_share(MODULI, P)).max())
    assert transients.strongest_by_chance(both, MODULI) == pytest.approx(most, rel=0.05)


def test_neurons_that_do_nothing_have_no_waves():
    found = transients.strengths(np.ones((P * P, 3)), MODULI)
    assert found.total == found.chance == 0 and not found.energy.any()


@pytest.fixture
def history():
    """Four moments: one wave comes and stays, one goes again, one halves, the rest is noise."""
    level = transients.chance_share(MODULI, P)
    energy = np.tile(level, (4, 1)) * 100
    stays, goes, halves = places((1, 5), (2, 5), (3, 7))
    energy[:, stays] = [1, 10, 30, 28]
    energy[:, goes] = [1, 20, 10, 1]
    energy[:, halves] = [1, 40, 40, 12]
    return energy, np.full(4, 100.0), np.ones(4)


def test_waves_are_split_by_what_becomes_of_them(history):
    split = transients.split_waves(*history, MODULI, P)
    stays, goes, halves = places((1, 5), (2, 5), (3, 7))
    assert np.flatnonzero(split.transient).tolist() == [goes]
    assert np.flatnonzero(split.persistent).tolist() == [stays]
    assert split.present[:, halves].tolist() == [False, True, True, True]
    assert split.present.sum() == 3 + 2 + 3
    assert transients.fractions(split.waves, np.array([goes])) == [(2, 5)]


def test_a_wave_that_random_orders_have_too_is_not_there(history):
    energy, total, _ = history
    split = transients.split_waves(energy, total, np.array([100.0, 15, 100, 100]), MODULI, P)
    (halves,) = places((3, 7))
    assert np.argwhere(split.present).tolist() == [
        [1, halves]
    ]  # 20 times chance, others 10 or less


def test_the_spike_is_where_most_transient_waves_are_and_something_is_left_to_learn(history):
    split = transients.split_waves(*history, MODULI, P)
    accuracy = np.array([[0.1, 0.2], [0.95, 0.2], [0.95, 0.3], [1, 1]])
    assert transients.spike_of(split, accuracy) == 1
    accuracy[1] = 1
    assert transients.spike_of(split, accuracy) == 2


def test_without_transient_waves_or_tasks_there_is_no_spike(history):
    split = transients.split_waves(*history, MODULI, P)
    with pytest.raises(ValueError, match="no transient wave was present"):
        transients.spike_of(split, np.ones((4, 2)))
    none = split._replace(transient=np.zeros_like(split.transient))
    with pytest.raises(ValueError, match="no transient wave was present"):
        transients.spike_of(none, np.zeros((4, 2)))


def test_controls_are_of_the_same_moduli_as_far_as_these_go():
    waves = waves_of(MODULI)
    chosen = np.zeros(len(waves.k), bool)
    chosen[places((1, 7), (2, 5), (1, 2))] = True
    pool = ~chosen
    drawn = transients.matched(chosen, pool, waves, np.random.default_rng(0))
    assert not chosen[drawn].any() and len(set(drawn.tolist())) == 3
    # q = 2 has no other wave, so one comes from another modulus.
    assert {5, 7} <= set(waves.modulus[drawn].tolist()) and 2 not in waves.modulus[drawn]
    few = np.zeros(len(chosen), bool)
    few[places((3, 7))] = True
    drawn = transients.matched(chosen, few, waves, np.random.default_rng(0))
    assert drawn.tolist() == places((3, 7))


@pytest.mark.parametrize(
    ("energy", "total"),
    [(np.ones((2, 3)), np.ones(2)), (np.ones((0, 7)), np.ones(0))],
)
def test_energies_of_another_shape_are_refused(energy, total):
    with pytest.raises(ValueError, match="these moduli take"):
        transients.split_waves(energy, total, total, MODULI, P)
