import jax
import jax.numpy as jnp
import numpy as np
import oracles as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miiii_core.losses import (
    cross_entropy,
    split_means,
    stablemax_loss,
    task_accuracies,
    task_losses,
    training_loss,
)

SIZES = (2, 3, 5)
FIXED = jnp.asarray([0.5, 0.0, 0.3])
quick = settings(deadline=None, max_examples=15)
seeds = st.integers(0, 2**32 - 1)


def problem(seed, n=6, scale=3.0):
    noise = np.random.default_rng(seed)
    logits = (scale * noise.normal(size=(n, sum(SIZES)))).astype(np.float32)
    targets = np.stack([noise.integers(0, size, n) for size in SIZES], axis=1).astype(np.int32)
    return jnp.asarray(logits), jnp.asarray(targets)


@given(seeds, st.floats(0, 50))
@quick
def test_losses_are_the_loops(seed, scale):
    logits, targets = problem(seed, scale=scale)
    found, expected = (of(logits, targets, SIZES) for of in (task_losses, oracle.task_losses))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * (1 + scale))


@given(seeds)
@quick
def test_accuracies_are_the_loops_ties_to_the_lower_class(seed):
    logits, targets = problem(seed)
    for rough in (logits, jnp.round(logits), jnp.zeros_like(logits)):
        expected = oracle.task_accuracies(rough, targets, SIZES)
        np.testing.assert_array_equal(task_accuracies(rough, targets, SIZES), expected)


@pytest.mark.parametrize("column", [2, 4])
def test_nan_is_never_right_and_stays_in_its_task(column):
    logits, _ = problem(2)
    broken = logits.at[0, column].set(jnp.nan)
    for answer in range(3):
        answers = jnp.full((6, 3), min(answer, 1), jnp.int32).at[:, 1].set(answer)
        found, whole = (task_accuracies(z, answers, SIZES) for z in (broken, logits))
        assert found[0, 1] == 0
        np.testing.assert_array_equal(found[:, [0, 2]], whole[:, [0, 2]])


def test_split_means_are_exact_for_right_and_wrong_and_nan_for_nothing():
    right = np.random.default_rng(0).integers(0, 2, (961, 3)).astype(np.float32)
    right[:41, 0] = 1
    members = np.zeros((3, 961), bool)
    members[0, :41], members[1, 41:] = True, True
    means = np.asarray(split_means(jnp.asarray(right), jnp.asarray(members)))
    assert means[0, 0] == 1  # 41 / 41 is not 1 where a division goes by way of a reciprocal
    assert means[0] == pytest.approx(right[:41].mean(0))
    assert means[1] == pytest.approx(right[41:].mean(0))
    assert np.isnan(means[2]).all()


@given(seeds, st.floats(0, 50))
@quick
def test_the_training_loss_and_its_own_gradient_are_those_of_the_plain_one(seed, scale):
    logits, targets = problem(seed, scale=scale)

    def plain(z):
        return task_losses(z, targets, SIZES).mean(axis=0) @ FIXED

    expected, slopes = jax.value_and_grad(plain)(logits)
    loss, own = jax.value_and_grad(training_loss)(logits, targets, FIXED, SIZES)
    np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-6 * (1 + scale))
    np.testing.assert_allclose(own, slopes, rtol=1e-5, atol=1e-7)
    assert not own[:, 2:5].any()  # its weight is 0


@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
def test_huge_logits_give_a_finite_training_loss_and_gradient(size):
    logits, targets = problem(0)
    loss, slopes = jax.value_and_grad(training_loss)(logits * size, targets, FIXED, SIZES)
    assert np.isfinite(loss) and np.isfinite(slopes).all()


def test_cross_entropy_keeps_its_digits_where_the_loss_is_tiny():
    noise = np.random.default_rng(0)
    logits, targets = noise.normal(size=(40, 5)).astype(np.float32), noise.integers(0, 5, 40)
    logits[np.arange(40), targets] += np.linspace(0, 60, 40).astype(np.float32)
    for n, loss in enumerate(np.asarray(cross_entropy(logits, targets))):
        others = np.delete(logits[n].astype(float), targets[n]) - float(logits[n, targets[n]])
        assert loss == pytest.approx(np.log1p(np.exp(others).sum()), rel=1e-4)


@given(seeds, st.floats(0, 50))
@quick
def test_the_stablemax_loss_is_the_formula_by_loops(seed, scale):
    logits, targets = problem(seed, scale=scale)
    total = 0.0
    for row, right in zip(np.asarray(logits, float), np.asarray(targets), strict=True):
        values = np.array([z + 1 if z >= 0 else 1 / (1 - z) for z in row])
        for own, answer, weight in zip(np.split(values, [2, 5]), right, FIXED, strict=True):
            total -= weight * np.log(own[answer] / own.sum()) / len(logits)
    found, slopes = jax.value_and_grad(stablemax_loss)(logits, targets, FIXED, SIZES)
    np.testing.assert_allclose(found, total, rtol=1e-4, atol=1e-6)
    assert np.isfinite(slopes).all() and np.asarray(slopes).any()
