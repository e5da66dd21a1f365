import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miiii_core import waves
from miiii_core.waves import Waves, class_means, residue_shares, wave_energy, waves_of

P, MODULI = 11, (2, 3, 5, 7)
N = np.arange(P * P)
ALL = [(k, q) for q in MODULI for k in range(1, q // 2 + 1)]
seeds = st.integers(0, 2**32 - 1)
some = st.lists(st.sampled_from(ALL), min_size=1, max_size=5, unique=True)
few = settings(deadline=None, max_examples=15)


def noise(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def means_of(values):
    return class_means(jnp.asarray(values, jnp.float32), MODULI)


def test_there_is_one_wave_for_each_cosine_and_its_sine():
    assert list(zip(*waves_of(MODULI)[::-1], strict=True)) == ALL
    assert waves.owners(waves_of((2, 5))).tolist() == [0, 1, 1, 2, 2]


@given(some, st.lists(st.integers(0, 10**9), min_size=1, max_size=9))
@few
def test_columns_are_cosines_and_sines_at_any_numbers(pairs, numbers):
    found = waves.columns(Waves.of(pairs), np.array(numbers))
    # The oracle drops what is zero everywhere; with these numbers appended nothing else is.
    expected = oracles.wave_columns(pairs, np.array([n % 210 for n in numbers] + [1, 2]))
    np.testing.assert_allclose(found, np.stack(expected, axis=1)[:-2], atol=1e-9)


def test_turns_keep_their_digits_at_large_numbers():
    exact = [[(k * n % q) / q for k, q in ALL] for n in (0, 12768, 10**15 + 7)]
    found = waves.turns(Waves.of(ALL), np.array([0, 12768, 10**15 + 7]))
    np.testing.assert_array_equal(found, exact)


def test_a_wave_of_n_is_a_plane_wave_over_both_digits():
    chosen = Waves.of(ALL)
    first, second = waves.turns(chosen, np.array([1, P]))
    plane = np.outer(N % P, first) + np.outer(N // P, second)
    np.testing.assert_allclose(np.exp(2j * np.pi * (plane - waves.turns(chosen, N))), 1)


@pytest.mark.parametrize("pair", [(0, 5), (3, 5), (1, 1), (-1, 7)])
def test_waves_that_do_not_exist_are_named(pair):
    with pytest.raises(ValueError, match=rf"\({pair[0]}, {pair[1]}\).*1 to q//2"):
        Waves.of([(1, 3), pair])


@given(seeds)
@few
def test_class_means_are_means_over_classes(seed):
    values = noise(seed, 3, P * P)
    expected = oracles.class_means(values.T, MODULI).T
    np.testing.assert_allclose(means_of(values), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(class_means(values, MODULI), expected, atol=1e-12)


@given(seeds, st.sampled_from(MODULI))
@few
def test_a_function_of_n_mod_q_is_explained_by_q_and_its_waves(seed, q):
    table = noise(seed, q)
    values = table[N % q] - table[N % q].mean()
    means = means_of(values[None])
    shares = np.asarray(residue_shares(means, P * P, MODULI)[0]) / values.var()
    assert shares[MODULI.index(q)] == pytest.approx(1, abs=1e-4) and (shares <= 1 + 1e-4).all()
    energy = np.asarray(wave_energy(means, MODULI)[0])
    # Parseval over the q classes; the last period of n is cut off, so about.
    offset = values[N < q].mean() ** 2
    own = energy[waves_of(MODULI).modulus == q].sum()
    assert own == pytest.approx(table.var(), rel=1e-3, abs=1e-5 + offset)


@pytest.mark.parametrize("k, q", [(1, 2), (1, 3), (2, 5), (3, 7)])
def test_a_wave_is_found_where_it_is(k, q):
    wave = np.cos(2 * np.pi * k * N / q + 0.3)
    energy = np.asarray(wave_energy(means_of(wave[None]), MODULI)[0])
    here = ALL.index((k, q))
    assert energy[here] == pytest.approx(np.cos(0.3) ** 2 if q == 2 else 0.5, rel=1e-4)
    assert np.delete(energy, here).max() < 0.05 * energy[here]


def test_noise_has_as_much_of_each_modulus_as_chance_gives():
    values = noise(0, 400, P * P)
    values -= values.mean(axis=1, keepdims=True)
    between = np.asarray(residue_shares(means_of(values), P * P, MODULI))
    expected = (np.array(MODULI) - 1) / (P * P - 1)
    found = (between / values.var(axis=1)[:, None]).mean(axis=0)
    np.testing.assert_allclose(found, expected, rtol=0.15)


@given(seeds)
@few
def test_the_interaction_is_what_sums_of_digit_functions_leave(seed):
    values, of_x0, of_x1 = noise(seed, P * P, 2), noise(seed, P, 1), noise(seed + 1, P, 1)
    left = waves.interaction(values)
    np.testing.assert_allclose(left.reshape(P, P, 2).mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(left.reshape(P, P, 2).mean(axis=1), 0, atol=1e-12)
    shifted = values + of_x0[N % P] + of_x1[N // P]
    np.testing.assert_allclose(waves.interaction(shifted), left, atol=1e-12)
    with pytest.raises(ValueError, match="120 rows.*p² of them"):
        waves.interaction(values[:-1])


@pytest.mark.thorough
def test_at_the_papers_size_the_fit_is_well_posed():
    primes = [q for q in range(2, 113) if all(q % d for d in range(2, q))]
    gram = waves.gram(waves_of(primes), 113**2)
    assert len(gram) == sum(q - 1 for q in primes)
    length = np.sqrt(np.diag(gram))
    size = np.linalg.eigvalsh(gram / np.outer(length, length))
    assert size[-1] / size[0] < 2


@given(some, seeds, st.sampled_from([P * P, 31]))
@few
def test_removed_parts_are_dense_least_squares(pairs, seed, n):
    values, chosen = noise(seed, n, 3) + 5, Waves.of(pairs)
    fit = oracles.least_squares(values, oracles.wave_columns(pairs, np.arange(n)))
    np.testing.assert_allclose(waves.remove(values, chosen), values - fit, atol=1e-10)


def test_all_waves_of_all_primes_are_one_path_with_a_few():
    values = noise(0, P * P, 4).astype(np.float32) + 3
    found = waves.project(values, MODULI)
    columns = oracles.wave_columns(ALL, N)
    fit = oracles.least_squares(values.astype(float), columns)
    np.testing.assert_allclose(found.split.sum(axis=0), fit.var(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.variance, values.var(axis=0, dtype=float), rtol=1e-6)
    centred = np.stack(columns, axis=1) - np.mean(columns, axis=1)
    np.testing.assert_allclose(centred @ found.coefficients, fit, atol=1e-9)
    np.testing.assert_allclose(waves.remove(values, waves_of(MODULI)), values - fit, atol=1e-9)
    assert not waves.project(np.full((P * P, 1), 2.5), MODULI).split.any()


@pytest.mark.parametrize("pairs", [[(1, 7)], [(1, 2), (2, 5)], [(1, 3), (2, 7)]])
def test_a_table_of_digits_loses_waves_as_both_digits_have_them(pairs):
    table, x = noise(0, P, 4), np.arange(P)
    columns = oracles.wave_columns(pairs, x) + oracles.wave_columns(pairs, P * x)
    design = np.stack(columns, axis=1) - np.mean(columns, axis=1)
    # Both digits may have the same wave, as P = 1 mod 5 and -1 mod 3.
    fit = design @ np.linalg.lstsq(design, table, rcond=1e-10)[0]
    left = waves.remove(table, waves.one_digit(Waves.of(pairs), P))
    np.testing.assert_allclose(left, table - fit, atol=1e-10)


@pytest.mark.parametrize("pairs, n", [([(1, 3), (1, 3)], 50), (ALL, 9), ([(1, 2), (2, 4)], 50)])
def test_waves_that_the_numbers_do_not_tell_apart_are_refused(pairs, n):
    with pytest.raises(ValueError, match=rf"{n} numbers.*{len(pairs)} waves.*more numbers"):
        waves.remove(np.ones((n, 1)), Waves.of(pairs))


def test_of_one_digit_waves_of_n_mod_p_have_no_constant():
    assert waves.one_digit(waves.waves_of([P]), P).k.tolist() == [*range(1, P // 2 + 1)]


def test_of_no_waves_nothing_is_removed():
    values, none = noise(0, P, 2), Waves.of([])
    np.testing.assert_array_equal(waves.remove(values, none), values)
