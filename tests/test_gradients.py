import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import TINY

from miiii_core.analysis.atoms import waves_of
from miiii_core.circuits import gradients
from miiii_core.training import clamp, train
from miiii_core.training.optim import grokfast_ema

MODULI = (2, 3, 5)


def by_fourier(matrix, moduli=MODULI):
    """Energy of each wave of the columns of each task, by NumPy's transform."""
    found, start = [], 0
    for q in moduli:
        power = (np.abs(np.fft.rfft(matrix[:, start : start + q], axis=1)) ** 2).sum(axis=0) / q
        found += [power[k] * (1 if q == 2 else 2) for k in range(1, q // 2 + 1)]
        start += q
    return np.array(found)


def test_the_transform_is_the_discrete_fourier_transform_of_each_task():
    matrix = np.random.default_rng(0).normal(size=(4, 10))
    transform = gradients.wave_transform(MODULI)
    assert transform.shape == (10, 2 * len(waves_of(MODULI).k))
    found = gradients.wave_squares(matrix @ transform)
    np.testing.assert_allclose(found, by_fourier(matrix), rtol=1e-4)


def test_the_filter_of_a_wave_is_the_wave_of_the_filtered_gradient():
    steps = jax.random.normal(jax.random.key(0), (12, 4, 10))
    transform = jnp.asarray(gradients.wave_transform(MODULI), jnp.float32)
    chosen = grokfast_ema(2.0, 0.9)
    whole, parts = chosen.init(steps[0]), chosen.init(steps[0] @ transform)
    for gradient in steps:
        filtered, whole = chosen.update(gradient, whole)
        part, parts = chosen.update(gradient @ transform, parts)
        np.testing.assert_allclose(filtered @ transform, part, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def watched():
    """A tiny training watched for some epochs, and its gradients one by one."""
    task = train.task_of(TINY)
    problem, state = train.Problem.of(TINY, task), train.initial_state(TINY, task)
    free = clamp.Clamp.of(task, [], 2)
    found = gradients.watch(problem, free, state, 6)
    seen, mean = [], 0.0
    for _ in range(6):
        _, gradient = clamp.clamped_gradient(problem, free, state)
        mean = 0.98 * mean + 0.02 * np.asarray(gradient.W_U)
        seen.append((np.asarray(gradient.W_U), TINY.optim.grokfast_lambda * mean))
        state = clamp.follow(problem, state, gradient)
    return found, seen


def test_what_is_watched_is_the_gradient_of_each_epoch(watched):
    found, seen = watched
    raw, added = (np.array(each) for each in zip(*seen, strict=True))

    def each(matrices):
        return np.mean([by_fourier(m) for m in matrices], axis=0)

    np.testing.assert_allclose(found.raw, each(raw), rtol=1e-3)
    np.testing.assert_allclose(found.added, each(added), rtol=1e-3)
    np.testing.assert_allclose(found.filtered, each(raw + added), rtol=1e-3)
    one, other = raw[::2].mean(axis=0), raw[1::2].mean(axis=0)
    steady = (by_fourier(one + other) - by_fourier(one - other)) / 4
    np.testing.assert_allclose(found.steady, steady, rtol=1e-3, atol=1e-3 * steady.max())
    np.testing.assert_allclose(
        found.signal_to_noise, found.steady / (each(raw) - found.steady), rtol=1e-2
    )
    assert (found.gain > 1).all() and (found.gain < 1 + TINY.optim.grokfast_lambda).all()


def test_a_gradient_that_vanished_has_neither_signal_nor_gain():
    nothing = gradients.GradientWaves(*np.zeros((4, 3)))
    assert nothing.signal_to_noise.tolist() == nothing.gain.tolist() == [0, 0, 0]


def test_odds_count_pairs():
    assert gradients.odds(np.array([3.0, 1]), np.array([2.0, 1, 0])) == pytest.approx(4.5 / 6)
    assert np.isnan(gradients.odds(np.array([]), np.array([1.0])))


def test_one_epoch_is_too_few():
    task = train.task_of(TINY)
    parts = train.Problem.of(TINY, task), clamp.Clamp.of(task, [], 2)
    with pytest.raises(ValueError, match="at least 2 epochs"):
        gradients.watch(*parts, train.initial_state(TINY, task), 1)
