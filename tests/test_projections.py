import numpy as np
import pytest

from miiii_core.analysis import projections
from miiii_core.analysis.projections import columns_of, explained, project, wave_gram

P, MODULI = 11, (2, 3, 5, 7)
N = np.arange(P * P)


def dense(moduli=MODULI):
    """Every cos and sin of 2πkn/q, written out by loops."""
    columns = []
    for q in moduli:
        for k in range(1, q // 2 + 1):
            columns.append(np.cos(2 * np.pi * k * N / q))
            if q > 2:
                columns.append(np.sin(2 * np.pi * k * N / q))
    return np.stack(columns, axis=1)


def test_the_gram_matrix_is_that_of_the_waves_written_out():
    waves = dense() - dense().mean(axis=0)
    np.testing.assert_allclose(wave_gram(MODULI, P * P), waves.T @ waves, atol=1e-9)


def test_at_the_papers_size_the_fit_is_well_posed():
    primes = [q for q in range(2, 113) if all(q % d for d in range(2, q))]
    gram = wave_gram(primes, 113**2)
    assert len(gram) == sum(q - 1 for q in primes)
    length = np.sqrt(np.diag(gram))
    assert np.linalg.cond(gram / np.outer(length, length)) < 2


def test_a_projection_is_dense_least_squares():
    values = np.random.default_rng(0).normal(size=(P * P, 4)).astype(np.float32) + 3
    found = project(values, MODULI)
    centred = values.astype(float) - values.mean(axis=0, dtype=float)
    waves = dense() - dense().mean(axis=0)
    expected = np.linalg.lstsq(waves, centred, rcond=None)[0]
    np.testing.assert_allclose(found.coefficients, expected, atol=2e-5)
    shares = ((waves @ expected) ** 2).sum(axis=0) / (centred**2).sum(axis=0)
    np.testing.assert_allclose(explained(found), shares, atol=1e-5)
    np.testing.assert_allclose(found.variance, centred.var(axis=0), rtol=1e-5)


def test_a_function_of_a_remainder_is_all_explained_by_its_own_waves():
    table = np.random.default_rng(1).normal(size=7)
    found = project(table[N % 7][:, None].astype(np.float32), MODULI)
    own = columns_of(MODULI).waves.modulus == 7
    assert explained(found)[0] == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(found.split[~own], 0, atol=1e-5)


def test_a_constant_unit_has_nothing_to_explain():
    assert explained(project(np.full((P * P, 1), 2.5, np.float32), MODULI))[0] == 0


@pytest.mark.parametrize("moduli", [(), (4, 3), (3, 3), (1,)])
def test_moduli_that_are_no_different_primes_are_refused(moduli):
    with pytest.raises(ValueError, match="different primes"):
        columns_of(moduli)


def test_too_few_numbers_are_refused():
    with pytest.raises(ValueError, match="give more than 49"):
        project(np.zeros((49, 1), np.float32), MODULI)


def test_inner_products_from_class_means_are_dense_ones():
    moduli, n = (2, 3, 5), 49
    values = np.random.default_rng(0).normal(size=(4, n))
    values -= values.mean(axis=1, keepdims=True)
    means = [values[:, np.arange(n) % q == r].mean(axis=1) for q in moduli for r in range(q)]
    columns = []
    for q in moduli:
        for k in range(1, q // 2 + 1):
            turn = 2 * np.pi * k * np.arange(n) / q
            columns += [np.cos(turn)] if q == 2 else [np.cos(turn), np.sin(turn)]
    found = projections.wave_products(np.stack(means, axis=1), n, moduli)
    np.testing.assert_allclose(found, np.array(columns) @ values.T, atol=1e-9)
    with pytest.raises(ValueError, match="means of 9 classes were given; these moduli have 10"):
        projections.wave_products(np.stack(means, axis=1)[:, 1:], n, moduli)
