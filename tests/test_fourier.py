import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miiii_core import fourier

odd = st.integers(1, 20).map(lambda k: 2 * k + 1)
seeds = st.integers(0, 2**32 - 1)
few = settings(deadline=None, max_examples=15)


def noise(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("p", [3, 5, 7, 31, 113])
def test_the_basis_is_orthonormal_and_cannot_be_changed(p):
    basis = fourier.fourier_basis(p)
    np.testing.assert_allclose(basis @ basis.T, np.eye(p), atol=1e-13)
    with pytest.raises(ValueError, match="read-only"):
        basis[0, 0] = 1.0


def test_basis_rows_are_constant_then_cos_and_sin_of_each_frequency():
    basis, x = fourier.fourier_basis(7), np.arange(7)
    np.testing.assert_allclose(basis[0], np.full(7, 7**-0.5))
    for k in (1, 2, 3):
        for row, wave in ((2 * k - 1, np.cos), (2 * k, np.sin)):
            expected = np.sqrt(2 / 7) * wave(2 * np.pi * k * x / 7)
            np.testing.assert_allclose(basis[row], expected, atol=1e-14)


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: fourier.fourier_basis(114), r"114 digits.*odd and at least 3.*W_E\[:p\]"),
        (lambda: fourier.fourier_1d(np.ones((32, 4))), r"32 digits.*W_E\[:p\]"),
        (lambda: fourier.frequency_power_2d(np.ones((5, 7))), r"\(5, 7\).*x0 and x1.*same length"),
        (lambda: fourier.ranks_for(np.ones(3), 1.1), r"share=1.1.*\(0, 1\]"),
        (lambda: fourier.ranks_for(np.ones(3), 0.0), r"share=0.0.*\(0, 1\]"),
    ],
)
def test_wrong_input_is_named_and_what_is_accepted(call, said):
    with pytest.raises(ValueError, match=said):
        call()


@given(odd, seeds)
@few
def test_transforms_keep_energy_and_are_undone(p, seed):
    values, grids = noise(seed, p, 3), noise(seed, 2, p, p)
    line, basis = fourier.fourier_1d(values), fourier.fourier_basis(p)
    power = fourier.frequency_power_2d(grids)
    np.testing.assert_allclose(power.sum((1, 2)), (grids**2).sum((1, 2)))
    np.testing.assert_allclose((line**2).sum(0), (values**2).sum(0))
    np.testing.assert_allclose(basis.T @ line, values, atol=1e-12)


@given(odd, seeds, st.integers(0, 40), st.integers(0, 40))
@few
def test_frequency_power_is_that_of_the_complex_fft_and_does_not_see_a_shift(p, seed, a, b):
    values, grid = noise(seed, p), noise(seed, p, p)
    np.testing.assert_allclose(fourier.frequency_power(values), oracles.fft_power(values))
    power = fourier.frequency_power_2d(grid)
    np.testing.assert_allclose(power, oracles.fft_power_2d(grid), atol=1e-12)
    shifted = fourier.frequency_power_2d(np.roll(grid, (a, b), axis=(0, 1)))
    np.testing.assert_allclose(power, shifted, atol=1e-11)


def test_whole_numbers_are_transformed_as_reals():
    remainders = np.add.outer(np.arange(5), np.arange(5)) % 5
    as_reals = fourier.frequency_power_2d(remainders.astype(float))
    np.testing.assert_array_equal(fourier.frequency_power_2d(remainders), as_reals)
    assert fourier.fourier_1d(jnp.arange(5)).dtype == jnp.float32


@given(seeds)
@few
def test_neuron_frequency_agrees_with_least_squares(seed):
    neurons = np.maximum(noise(seed, 3, 11, 11), 0)
    frequency, share = fourier.neuron_frequency(neurons)
    for j, neuron in enumerate(neurons):
        shares = [oracles.block_shares(neuron, k / 11, k / 11)[0] for k in range(1, 6)]
        assert frequency[j] == np.argmax(shares) + 1
        np.testing.assert_allclose(share[j], max(shares))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_neurons_have_no_frequency(dtype):
    neurons = np.stack([np.zeros((31, 31)), np.full((31, 31), 0.1)]).astype(dtype)
    assert not np.any(fourier.neuron_frequency(neurons))
    assert not fourier.active_frequencies(fourier.frequency_power_2d(neurons)).any()


@given(seeds)
@few
def test_active_frequencies_agree_with_a_loop_and_are_few(seed):
    power = noise(seed, 4, 9, 9) ** 4
    active = fourier.active_frequencies(power)
    for mask, energies in zip(active, power, strict=True):
        np.testing.assert_array_equal(mask, oracles.active_by_loop(energies))
        assert mask.sum() <= 80 / 5


@pytest.mark.parametrize("planted", [(1,), (15,), (3, 15)])
def test_key_frequencies_of_a_planted_embedding(planted):
    angle = 2 * np.pi * np.arange(31)[:, None] / 31
    waves = [c for k in planted for c in (np.cos(k * angle), np.sin(k * angle))]
    embedding = np.concatenate(waves, axis=1) @ noise(0, 2 * len(planted), 24) + 5.0
    embedding = embedding + 0.01 * noise(1, 31, 24)
    share, active = fourier.key_frequencies(embedding)
    assert tuple(np.nonzero(active)[0]) == planted
    energy = np.sum([oracles.fft_power(column) for column in embedding.T], axis=0)
    np.testing.assert_allclose(share[1:], energy[1:] / energy[1:].sum())
    assert share[0] == 0 and not np.any(fourier.key_frequencies(np.zeros((7, 3))))


def test_singular_spectrum_of_a_known_matrix_and_the_ranks_that_hold_a_share():
    rotation = np.linalg.qr(noise(0, 5, 5))[0]
    W = rotation[:, :3] @ np.diag([3.0, 2.0, 1.0]) @ np.linalg.qr(noise(1, 4, 4))[0][:3]
    spectrum = fourier.singular_spectrum(W)
    np.testing.assert_allclose(spectrum.values, [3, 2, 1, 0], atol=1e-12)
    np.testing.assert_allclose(spectrum.cumulative, [9 / 14, 13 / 14, 1, 1])
    np.testing.assert_allclose(np.abs((spectrum.left[:, :3] * rotation[:, :3]).sum(0)), 1)
    for share, rank in ((0.5, 1), (0.9, 2), (0.94, 3), (1.0, 3)):
        assert fourier.ranks_for(spectrum.cumulative, share) == rank


@pytest.mark.parametrize("rank, zeros", [(1, 0), (4, 9), (30, 1)])
def test_effective_rank_of_equal_values_is_their_number(rank, zeros):
    values = np.array([2.5] * rank + [0.0] * zeros)
    np.testing.assert_allclose(fourier.effective_rank(values), rank)
    np.testing.assert_allclose(fourier.effective_rank(np.array([3.0, 1.0])), 4 / 3**0.75)
    assert fourier.effective_rank(np.zeros(4)) == 0


@given(seeds, st.integers(1, 40))
@few
def test_gini_is_half_the_relative_mean_difference(seed, n):
    values = noise(seed, n) ** 2
    np.testing.assert_allclose(fourier.gini(values), oracles.gini_by_pairs(values), atol=1e-12)
    np.testing.assert_allclose(fourier.gini(np.eye(n)[0]), 1 - 1 / n)
    assert fourier.gini(np.zeros(n)) == 0


def test_fourier_gini_is_that_of_component_norms_but_the_constant():
    columns = noise(0, 7, 3) + 9.0
    norms = np.linalg.norm(fourier.fourier_basis(7)[1:] @ columns, axis=1)
    np.testing.assert_allclose(fourier.fourier_gini(columns), oracles.gini_by_pairs(norms))


def test_similarities_agree_with_numpy():
    a, b = noise(0, 2, 9)
    np.testing.assert_allclose(fourier.pearson(a, b), np.corrcoef(a, b)[0, 1])
    assert np.isnan(fourier.pearson(np.full(9, 0.1), np.arange(9.0)))


CALLS = {
    "fourier_1d": (fourier.fourier_1d, noise(1, 11, 4)),
    "frequency_power_2d": (fourier.frequency_power_2d, noise(1, 3, 11, 11)),
    "active_frequencies": (fourier.active_frequencies, noise(1, 3, 6, 6) ** 2),
}


@pytest.mark.parametrize("name", CALLS)
def test_numpy_stays_numpy_and_a_compiled_jax_call_agrees(name):
    call, values = CALLS[name]
    expected, found = call(values.astype(np.float32)), jax.jit(call)(jnp.asarray(values))
    for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        assert isinstance(a, np.ndarray | np.generic) and isinstance(b, jax.Array)
        assert a.dtype == np.float32 or a.dtype.kind in "bi"
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)
