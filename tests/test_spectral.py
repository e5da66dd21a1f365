import jax
import jax.numpy as jnp
import numpy as np
import oracles_spectral as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miiii_core.analysis import spectral

odd = st.integers(1, 20).map(lambda k: 2 * k + 1)
seeds = st.integers(0, 2**32 - 1)


def noise(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("p", [*range(3, 64, 2), 113])
def test_basis_is_orthonormal_for_every_odd_p(p):
    basis = spectral.fourier_basis(p)
    assert basis.dtype == np.float64
    np.testing.assert_allclose(basis @ basis.T, np.eye(p), atol=1e-13)


def test_basis_rows_are_constant_then_cos_and_sin_of_each_frequency():
    basis = spectral.fourier_basis(7)
    x = np.arange(7)
    np.testing.assert_allclose(basis[0], np.full(7, 7**-0.5))
    for k in (1, 2, 3):
        np.testing.assert_allclose(basis[2 * k - 1], np.sqrt(2 / 7) * np.cos(2 * np.pi * k * x / 7))
        sines = np.sqrt(2 / 7) * np.sin(2 * np.pi * k * x / 7)
        np.testing.assert_allclose(basis[2 * k], sines, atol=1e-14)


def test_basis_cannot_be_changed_by_its_callers():
    with pytest.raises(ValueError, match="read-only"):
        spectral.fourier_basis(5)[0, 0] = 1.0


@pytest.mark.parametrize("p", [-3, 0, 1, 2, 114])
def test_basis_of_a_wrong_p_says_what_is_accepted(p):
    with pytest.raises(ValueError, match=rf"{p} digits.*odd and at least 3.*W_E\[:p\]"):
        spectral.fourier_basis(p)


def test_an_embedding_with_its_read_out_row_is_refused():
    with pytest.raises(ValueError, match=r"W_E\[:p\]"):
        spectral.fourier_1d(np.ones((32, 4)))


def test_a_grid_that_is_not_square_is_refused():
    for transform in (spectral.fourier_2d, spectral.inverse_fourier_2d):
        with pytest.raises(ValueError, match=r"\(2, 5, 7\).*x0 and x1.*same length"):
            transform(np.ones((2, 5, 7)))
    with pytest.raises(ValueError, match=r"\(5,\).*last two axes"):
        spectral._side(np.ones(5))


@given(odd, seeds)
@settings(deadline=None, max_examples=30)
def test_transforms_keep_energy_and_are_undone_by_their_inverses(p, seed):
    values, grids = noise(seed, p, 3), noise(seed, 2, p, p)
    line, plane = spectral.fourier_1d(values), spectral.fourier_2d(grids)
    np.testing.assert_allclose((line**2).sum(0), (values**2).sum(0))
    np.testing.assert_allclose((plane**2).sum((1, 2)), (grids**2).sum((1, 2)))
    np.testing.assert_allclose(spectral.inverse_fourier_1d(line), values, atol=1e-12)
    np.testing.assert_allclose(spectral.inverse_fourier_2d(plane), grids, atol=1e-12)


@given(odd, seeds)
@settings(deadline=None, max_examples=20)
def test_frequency_power_is_that_of_the_complex_fft(p, seed):
    values, grid = noise(seed, p), noise(seed, p, p)
    np.testing.assert_allclose(spectral.frequency_power(values), oracle.fft_power(values))
    power = spectral.frequency_power_2d(grid)
    np.testing.assert_allclose(power, oracle.fft_power_2d(grid), atol=1e-12)
    np.testing.assert_allclose(power.sum(), (grid**2).sum())


@given(odd, seeds, st.integers(0, 40), st.integers(0, 40))
@settings(deadline=None, max_examples=20)
def test_frequency_power_does_not_see_a_cyclic_shift(p, seed, a, b):
    grid = noise(seed, p, p)
    shifted = np.roll(grid, (a, b), axis=(0, 1))
    before, after = spectral.frequency_power_2d(grid), spectral.frequency_power_2d(shifted)
    np.testing.assert_allclose(before, after, atol=1e-11)


@pytest.mark.parametrize(("k0", "k1"), [(0, 1), (3, 0), (2, 5), (6, 6), (1, 6)])
def test_a_planted_wave_lies_in_its_own_pair(k0, k1):
    power = spectral.frequency_power_2d(oracle.plane_wave(13, k0, k1, phase=0.7))
    assert np.unravel_index(power.argmax(), power.shape) == (k0, k1)
    np.testing.assert_allclose(power[k0, k1], power.sum())


def test_whole_numbers_are_transformed_as_reals():
    remainders = np.add.outer(np.arange(5), np.arange(5)) % 5
    as_reals = spectral.fourier_2d(remainders.astype(float))
    np.testing.assert_array_equal(spectral.fourier_2d(remainders), as_reals)
    assert spectral.fourier_1d(jnp.arange(5)).dtype == jnp.float32


@pytest.mark.parametrize("k", [1, 4, 15])
def test_neuron_frequency_finds_every_frequency_the_last_included(k):
    p, x = 31, np.arange(31)
    wave = np.cos(2 * np.pi * k * x / p + 0.4)
    neuron = np.maximum(wave[:, None] + wave[None, :], 0) + 3.0
    frequency, share = spectral.neuron_frequency(neuron[None])
    assert frequency[0] == k
    np.testing.assert_allclose(share[0], oracle.neuron_block_shares(neuron).max())


@given(seeds)
@settings(deadline=None, max_examples=15)
def test_neuron_frequency_agrees_with_least_squares(seed):
    neurons = np.maximum(noise(seed, 3, 11, 11), 0)
    frequency, share = spectral.neuron_frequency(neurons)
    for j, neuron in enumerate(neurons):
        shares = oracle.neuron_block_shares(neuron)
        assert frequency[j] == shares.argmax() + 1
        np.testing.assert_allclose(share[j], shares.max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_neurons_have_no_frequency(dtype):
    neurons = np.stack([np.zeros((31, 31)), np.full((31, 31), 0.1)]).astype(dtype)
    frequency, share = spectral.neuron_frequency(neurons)
    np.testing.assert_array_equal(frequency, [0, 0])
    np.testing.assert_array_equal(share, [0, 0])
    assert not spectral.active_frequencies(spectral.frequency_power_2d(neurons)).any()


@given(seeds, st.sampled_from([1.0, 2.0, 3.0]))
@settings(deadline=None, max_examples=20)
def test_active_frequencies_agree_with_a_loop(seed, deviations):
    power = noise(seed, 4, 9, 9) ** 4
    active = spectral.active_frequencies(power, deviations)
    for mask, energies in zip(active, power, strict=True):
        np.testing.assert_array_equal(mask, oracle.active_by_loop(energies, deviations))


@given(seeds, st.sampled_from([1.0, 2.0]), st.integers(1, 60))
@settings(deadline=None, max_examples=30)
def test_no_map_has_more_than_a_bounded_share_active(seed, deviations, ones):
    power = np.zeros(81)
    power[np.random.default_rng(seed).permutation(80)[:ones] + 1] = 1.0
    active = spectral.active_frequencies(power.reshape(9, 9), deviations)
    assert active.sum() <= 80 / (1 + deviations**2)


def test_the_constant_neither_counts_nor_raises_the_threshold():
    waves = oracle.plane_wave(13, 2, 5) + oracle.plane_wave(13, 6, 6)
    for offset in (0.0, 1e3):
        active = spectral.active_frequencies(spectral.frequency_power_2d(waves + offset))
        assert set(zip(*np.nonzero(active), strict=True)) == {(2, 5), (6, 6)}


def test_public_omega_follows_the_public_code():
    epochs = np.array([0, 1, 2, 4, 8, 16, 32, 64, 128])
    power = noise(3, 9, 12, 12) ** 2
    power[5:, 3, 4] += 60.0
    found = spectral.public_code_omega(power, epochs)
    columns, active, label = oracle.public_omega(power, epochs)
    np.testing.assert_array_equal(found.epochs, columns)
    np.testing.assert_array_equal(found.active, active)
    np.testing.assert_array_equal(found.label, label)
    assert found.active.max() > found.label.max()


def test_public_omega_survives_a_silent_neuron():
    found = spectral.public_code_omega(np.zeros((3, 4, 4)), np.array([1, 10, 100]))
    np.testing.assert_array_equal(found.active, 0)


@pytest.mark.parametrize("planted", [(1,), (15,), (3, 15)])
def test_key_frequencies_of_a_planted_embedding(planted):
    angle = 2 * np.pi * np.arange(31)[:, None] / 31
    waves = [c for k in planted for c in (np.cos(k * angle), np.sin(k * angle))]
    embedding = np.concatenate(waves, axis=1) @ noise(0, 2 * len(planted), 24) + 5.0
    share, active = spectral.key_frequencies(embedding + 0.01 * noise(1, 31, 24))
    assert tuple(np.nonzero(active)[0]) == planted
    np.testing.assert_allclose(share.sum(), 1)
    assert share[0] == 0
    assert share[list(planted)].sum() > 0.99


def test_key_frequencies_match_norms_worked_out_by_fft():
    embedding = noise(5, 13, 6)
    energy = np.sum([oracle.fft_power(column) for column in embedding.T], axis=0)
    share, _ = spectral.key_frequencies(embedding)
    np.testing.assert_allclose(share[1:], energy[1:] / energy[1:].sum())


def test_an_embedding_without_variation_has_no_key_frequency():
    share, active = spectral.key_frequencies(np.zeros((7, 3)))
    assert not active.any()
    np.testing.assert_array_equal(share, 0)


def test_singular_spectrum_of_a_known_matrix():
    rotation = np.linalg.qr(noise(0, 5, 5))[0]
    W = rotation[:, :3] @ np.diag([3.0, 2.0, 1.0]) @ np.linalg.qr(noise(1, 4, 4))[0][:3]
    spectrum = spectral.singular_spectrum(W)
    np.testing.assert_allclose(spectrum.values, [3, 2, 1, 0], atol=1e-12)
    np.testing.assert_allclose(spectrum.cumulative, [9 / 14, 13 / 14, 1, 1])
    np.testing.assert_allclose(np.abs((spectrum.left[:, :3] * rotation[:, :3]).sum(0)), 1)
    by_value = spectral.singular_spectrum(W, power=1)
    np.testing.assert_allclose(by_value.cumulative, [3 / 6, 5 / 6, 1, 1])


@pytest.mark.parametrize(("share", "rank"), [(0.5, 1), (0.9, 2), (0.94, 3), (1.0, 3)])
def test_ranks_that_hold_a_share(share, rank):
    cumulative = spectral.singular_spectrum(np.diag([3.0, 2.0, 1.0, 0.0])).cumulative
    assert spectral.ranks_for(cumulative, share) == rank


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=rf"share={share}.*\(0, 1\]"):
        spectral.ranks_for(np.ones(3), share)


@given(st.integers(1, 30), st.integers(0, 30))
@settings(deadline=None, max_examples=30)
def test_effective_rank_of_equal_values_is_their_number(rank, zeros):
    values = np.array([2.5] * rank + [0.0] * zeros)
    np.testing.assert_allclose(spectral.effective_rank(values), rank)


def test_effective_rank_closed_form_and_no_energy():
    np.testing.assert_allclose(spectral.effective_rank(np.array([3.0, 1.0])), 4 / 3**0.75)
    assert spectral.effective_rank(np.zeros(4)) == 0


@given(st.integers(1, 40))
@settings(deadline=None, max_examples=30)
def test_gini_of_equal_and_of_concentrated_values(n):
    np.testing.assert_allclose(spectral.gini(np.full(n, 3.0)), 0, atol=1e-12)
    np.testing.assert_allclose(spectral.gini(np.eye(n)[0]), 1 - 1 / n)
    np.testing.assert_allclose(spectral.gini(np.arange(1.0, n + 1)), (n - 1) / (3 * n), atol=1e-12)


@given(seeds)
@settings(deadline=None, max_examples=20)
def test_gini_is_half_the_relative_mean_difference(seed):
    values = noise(seed, 12) ** 2
    np.testing.assert_allclose(spectral.gini(values), oracle.gini_by_pairs(values))
    assert spectral.gini(np.zeros(3)) == 0


@given(seeds)
@settings(deadline=None, max_examples=20)
def test_similarities_agree_with_numpy(seed):
    a, b = noise(seed, 2, 9)
    np.testing.assert_allclose(spectral.pearson(a, b), np.corrcoef(a, b)[0, 1])
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    np.testing.assert_allclose(spectral.cosine_similarity(a, b), cosine)
    np.testing.assert_allclose(spectral.pearson(3 * a + 1, a), 1)


def test_similarity_with_nothing_is_not_a_number():
    assert np.isnan(spectral.cosine_similarity(np.zeros(3), np.ones(3)))
    assert np.isnan(spectral.pearson(np.ones(3), np.arange(3.0)))


CALLS = {
    "fourier_1d": (spectral.fourier_1d, noise(1, 11, 4)),
    "inverse_fourier_1d": (spectral.inverse_fourier_1d, noise(1, 11, 4)),
    "fourier_2d": (spectral.fourier_2d, noise(1, 3, 11, 11)),
    "inverse_fourier_2d": (spectral.inverse_fourier_2d, noise(1, 3, 11, 11)),
    "frequency_power": (spectral.frequency_power, noise(1, 11)),
    "frequency_power_2d": (spectral.frequency_power_2d, noise(1, 3, 11, 11)),
    "neuron_frequency": (spectral.neuron_frequency, noise(1, 3, 11, 11)),
    "active_frequencies": (spectral.active_frequencies, noise(1, 3, 6, 6) ** 2),
    "key_frequencies": (spectral.key_frequencies, noise(1, 11, 5)),
    "singular_values": (lambda W: spectral.singular_spectrum(W)[::2], noise(1, 6, 4)),
    "ranks_for": (lambda c: spectral.ranks_for(c, 0.9), np.linspace(0.2, 1, 5)),
    "effective_rank": (spectral.effective_rank, np.arange(1.0, 5)),
    "gini": (spectral.gini, np.arange(1.0, 5)),
    "pearson": (lambda x: spectral.pearson(x[0], x[1]), noise(1, 2, 8)),
    "public_code_omega": (
        lambda power: spectral.public_code_omega(power, 3 ** np.arange(5)),
        noise(1, 5, 4, 4) ** 2,
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_numpy_stays_numpy_and_a_compiled_jax_call_agrees(name):
    call, values = CALLS[name]
    given_dtype = values if values.dtype == bool else values.astype(np.float32)
    expected, found = call(given_dtype), jax.jit(call)(jnp.asarray(given_dtype))
    for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        assert isinstance(a, np.ndarray | np.generic)
        assert isinstance(b, jax.Array)
        assert a.dtype == np.float32 or a.dtype.kind in "bi"
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


def test_frequencies_are_found_inside_a_compiled_graph():
    neuron = oracle.plane_wave(31, 15, 15)[None]
    frequency, share = jax.jit(spectral.neuron_frequency)(jnp.asarray(neuron))
    assert int(frequency[0]) == 15
    np.testing.assert_allclose(share, 1, rtol=1e-5)
