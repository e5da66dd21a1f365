import numpy as np
import oracles_spectral as oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miiii_core.addition import trigonometry

P, K = 11, 3
ANGLE = st.floats(-np.pi, np.pi)


def product_neuron(k, first, second, p=P):
    """(1 + cos α0)(1 + cos α1) with α_i = 2πk x_i/p + phase, by two loops."""
    angle = 2 * np.pi * k / p
    return np.array(
        [
            [(1 + np.cos(angle * i + first)) * (1 + np.cos(angle * j + second)) for j in range(p)]
            for i in range(p)
        ]
    )


def frequencies(count, k=K):
    return np.full(count, k)


def unit(angle):
    """A wave of size 1 with this phase."""
    return np.exp(1j * angle)


@given(ANGLE, ANGLE, st.integers(1, P // 2))
def test_waves_of_a_planted_product_have_the_phases_it_was_made_with(first, second, k):
    waves = trigonometry.neuron_waves(product_neuron(k, first, second)[None], frequencies(1, k))
    for found, wanted in (
        (waves.digits[0, 0], unit(first)),
        (waves.digits[0, 1], unit(second)),
        (waves.total[0], unit(first + second)),
        (waves.difference[0], unit(first - second)),
    ):
        np.testing.assert_allclose(found / np.abs(found), wanted, atol=1e-9)
    parts = np.abs(waves.digits) ** 2
    energy = parts.sum() + abs(waves.total[0]) ** 2 + abs(waves.difference[0]) ** 2
    np.testing.assert_allclose(energy, waves.energy[0])


@pytest.mark.parametrize(("k0", "k1", "name"), [(K, K, "total"), (K, -K, "difference")])
def test_a_plane_wave_is_all_of_the_sum_or_all_of_the_difference(k0, k1, name):
    wave = oracle.plane_wave(P, k0, k1, 0.7)
    waves = trigonometry.neuron_waves(wave[None], frequencies(1))
    np.testing.assert_allclose(abs(getattr(waves, name)[0]) ** 2, (wave**2).sum())
    np.testing.assert_allclose(np.angle(getattr(waves, name)[0]), 0.7)


def noise_and_phases():
    draw = np.random.default_rng(0)
    return draw.normal(size=(4, P, P)), draw.uniform(-np.pi, np.pi, size=(4, 2))


def test_the_fit_is_the_least_squares_fit_with_the_given_phases():
    grids, phases = noise_and_phases()
    waves = trigonometry.neuron_waves(grids, frequencies(4))
    fit = trigonometry.fit_product(waves, phases)
    x = np.arange(P)
    for grid, (first, second), share in zip(grids, phases, fit.share, strict=True):
        one = np.cos(2 * np.pi * K * x / P + first)[:, None] * np.ones(P)
        two = np.cos(2 * np.pi * K * x / P + second)[None, :] * np.ones((P, 1))
        columns = np.stack([one.ravel(), two.ravel(), (one * two).ravel()], axis=1)
        target = (grid - grid.mean()).ravel()
        found = columns @ np.linalg.lstsq(columns, target, rcond=None)[0]
        np.testing.assert_allclose(share, (found @ found) / (target @ target))


def test_a_product_is_fitted_in_full_and_not_with_other_phases_or_at_another_frequency():
    grids = np.stack([product_neuron(K, f, s) for f, s in [(0.3, -1.0), (1.9, 0.4)]])
    waves = trigonometry.neuron_waves(grids, frequencies(2))
    fit = trigonometry.fit_product(waves)
    np.testing.assert_allclose(fit.share, 1)
    np.testing.assert_allclose(fit.locked, 1)
    other = trigonometry.fit_product(waves, np.roll(np.angle(waves.digits), 1, axis=0))
    assert (other.share < 0.5).all() and (other.locked < 0.5).all()
    wrong = trigonometry.neuron_waves(grids, frequencies(2, K + 1))
    np.testing.assert_allclose(trigonometry.fit_product(wrong).share, 0, atol=1e-12)


def test_random_phases_find_a_quarter_of_the_products():
    grids = np.random.default_rng(1).normal(size=(2000, P, P))
    waves = trigonometry.neuron_waves(grids, frequencies(2000))
    assert abs(trigonometry.fit_product(waves).locked.mean() - 0.25) < 0.02


def ring(count=8):
    """Neurons with phases all around, that write the sum of their two phases."""
    phases = np.arange(count) * 2 * np.pi / count + 0.1
    grids = np.stack([product_neuron(K, phase, phase) for phase in phases])
    classes = 2 * np.pi * K * np.arange(P) / P
    return grids, np.cos(classes[None] + 2 * phases[:, None])


def test_a_ring_of_aligned_neurons_writes_the_wanted_wave_and_nothing_else():
    grids, writes = ring()
    waves = trigonometry.neuron_waves(grids, frequencies(8))
    written = trigonometry.written_waves(writes, frequencies(8))
    together = trigonometry.patterns(waves, written)
    np.testing.assert_allclose(together, (1, 0, 0, 0), atol=1e-12)
    alone = trigonometry.patterns(waves, written, together=False)
    np.testing.assert_allclose(alone, (0.25, 0, 0.25, 0.5), atol=1e-12)


def test_patterns_are_shares_of_what_the_products_add_to_the_logits():
    grids = np.random.default_rng(2).normal(size=(5, P, P))
    writes = np.random.default_rng(3).normal(size=(5, P))
    waves = trigonometry.neuron_waves(grids, frequencies(5))
    found = trigonometry.patterns(waves, trigonometry.written_waves(writes, frequencies(5)))
    logits = np.einsum("nij,nc->ijc", grids, writes)
    i, j, c = np.meshgrid(*[2 * np.pi * K * np.arange(P) / P] * 3, indexing="ij")
    bases = {
        "wanted": [np.cos(i + j - c)],
        "turned": [np.sin(i + j - c)],
        "mirrored": [np.cos(i + j + c), np.sin(i + j + c)],
        "difference": [f(i - j + s * c) for f in (np.cos, np.sin) for s in (-1, 1)],
    }
    energy = {
        name: sum((logits * wave).sum() ** 2 / (wave**2).sum() for wave in waves)
        for name, waves in bases.items()
    }
    total = sum(energy.values())
    np.testing.assert_allclose(found, [energy[name] / total for name in found._fields])


def test_a_cluster_is_measured_beside_its_controls():
    grids, writes = ring()
    numbers = np.arange(8) + 40
    found = trigonometry.cluster(K, K - 1, numbers, grids, writes)
    np.testing.assert_array_equal(found.neurons, numbers)
    np.testing.assert_allclose(found.fit, 1)
    np.testing.assert_allclose(found.fit_other_frequency, 0, atol=1e-12)
    np.testing.assert_allclose(found.total, 0.5)
    np.testing.assert_allclose([found.digits_aligned, found.sum_aligned, found.written_aligned], 1)
    assert found.written_aligned_control < 0.5
    np.testing.assert_allclose(np.cos(found.phases[:, 0] - found.phases[:, 1]), 1)


def test_a_cluster_may_be_alone_or_empty():
    grids, writes = ring()
    assert np.isnan(
        trigonometry.cluster(K, None, np.arange(8), grids, writes).fit_other_frequency
    ).all()
    empty = trigonometry.cluster(K, 1, np.arange(0), grids[:0], writes[:0])
    assert len(empty.fit) == 0 and np.isnan(empty.written_aligned)
    assert sum(empty.together) == 0


def test_frequencies_that_do_not_exist_are_refused():
    grids, writes = ring(2)
    with pytest.raises(ValueError, match=r"from 0 to 6 were given; at p = 11 take 1 to 5"):
        trigonometry.neuron_waves(grids, np.array([0, 6]))
    with pytest.raises(ValueError, match="at p = 11 take 1 to 5"):
        trigonometry.written_waves(writes, np.array([1, 6]))
