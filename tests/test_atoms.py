import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miiii_core.analysis import atoms

P = 11
MODULI = (2, 3, 5, 7)
NUMBERS = np.arange(P * P)
STARTS = dict(zip(MODULI, (0, 2, 5, 10), strict=True))


def means_of(values, moduli=MODULI):
    return atoms.class_means(
        jnp.asarray(values, jnp.float32), jnp.asarray(NUMBERS, jnp.int32), moduli
    )


def test_there_is_one_wave_for_each_cos_and_its_sin():
    waves = atoms.waves_of(MODULI)
    assert list(zip(*waves, strict=True)) == [
        (2, 1), (3, 1), (5, 1), (5, 2), (7, 1), (7, 2), (7, 3),
    ]  # fmt: skip


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_class_means_are_means_over_classes(seed):
    values = np.random.default_rng(seed).normal(size=(3, P * P))
    found = means_of(values)
    for q in MODULI:
        for r in range(q):
            expected = values[:, NUMBERS % q == r].mean(axis=1)
            np.testing.assert_allclose(found[:, STARTS[q] + r], expected, rtol=1e-4, atol=1e-6)


@given(st.integers(0, 2**32 - 1), st.sampled_from(MODULI))
@settings(max_examples=20, deadline=None)
def test_a_function_of_n_mod_q_is_explained_by_q_and_its_waves(seed, q):
    table = np.random.default_rng(seed).normal(size=q)
    values = table[NUMBERS % q]
    values -= values.mean()
    means = means_of(values[None])
    shares = atoms.residue_shares(means, P * P, MODULI)[0] / values.var()
    assert shares[MODULI.index(q)] == pytest.approx(1, abs=1e-4)
    assert (np.asarray(shares) <= 1 + 1e-4).all()
    energy = np.asarray(atoms.wave_energy(means, MODULI)[0])
    own = atoms.waves_of(MODULI).modulus == q
    # Parseval over the q classes; the last period of n is cut off, so about.
    centred = table - table.mean()
    offset = (values[NUMBERS < q].mean()) ** 2
    assert energy[own].sum() == pytest.approx((centred**2).mean(), rel=1e-3, abs=1e-5 + offset)


@pytest.mark.parametrize("q, k", [(2, 1), (3, 1), (5, 2), (7, 3)])
def test_a_plane_wave_is_found_where_it_is(q, k):
    wave = np.cos(2 * np.pi * k * NUMBERS / q + 0.3)
    energy = np.asarray(atoms.wave_energy(means_of(wave[None]), MODULI)[0])
    waves = atoms.waves_of(MODULI)
    here = int(np.flatnonzero((waves.modulus == q) & (waves.k == k))[0])
    mean_square = np.cos(0.3) ** 2 if q == 2 else 0.5
    assert energy[here] == pytest.approx(mean_square, rel=1e-4)
    assert np.delete(energy, here).max() < 0.05 * energy[here]


def test_a_wave_over_n_is_a_plane_wave_over_both_digits():
    q, k = 7, 2
    x0, x1 = NUMBERS % P, NUMBERS // P
    plane = np.cos(2 * np.pi * (k * x0 / q + (P * k % q) * x1 / q))
    np.testing.assert_allclose(plane, np.cos(2 * np.pi * k * NUMBERS / q), atol=1e-9)


def test_noise_has_as_much_of_each_modulus_as_chance_gives():
    noise = np.random.default_rng(0).normal(size=(400, P * P))
    noise -= noise.mean(axis=1, keepdims=True)
    between = np.asarray(atoms.residue_shares(means_of(noise), P * P, MODULI))
    shares = between / noise.var(axis=1)[:, None]
    expected = (np.array(MODULI) - 1) / (P * P - 1)
    np.testing.assert_allclose(shares.mean(axis=0), expected, rtol=0.15)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_the_interaction_is_what_sums_of_digit_functions_leave(seed):
    draw = np.random.default_rng(seed)
    rows, columns = draw.normal(size=(P, 1)), draw.normal(size=(1, P))
    grid = draw.normal(size=(2, P, P))
    left = atoms.interaction(grid)
    np.testing.assert_allclose(left.mean(axis=-1), 0, atol=1e-12)
    np.testing.assert_allclose(left.mean(axis=-2), 0, atol=1e-12)
    np.testing.assert_allclose(atoms.interaction(grid + rows + columns), left, atol=1e-12)
    np.testing.assert_allclose(atoms.interaction(left), left, atol=1e-12)
