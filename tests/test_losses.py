import jax
import jax.numpy as jnp
import numpy as np
import oracles as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miiii_core.network.losses import (
    split_means,
    task_accuracies,
    task_losses,
    training_loss,
    weighted_loss,
)

SIZES = (2, 3, 5)
WEIGHTS = np.array([0.5, 0.0, 0.3], np.float32)
FIXED = jnp.asarray(WEIGHTS)
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
    expected = oracle.task_losses(logits, targets, SIZES)
    np.testing.assert_allclose(
        task_losses(logits, targets, SIZES), expected, rtol=1e-5, atol=1e-6 * (1 + scale)
    )


@given(seeds)
@quick
def test_accuracies_are_the_loops_ties_to_the_lower_class(seed):
    logits, targets = problem(seed)
    for rough in (logits, jnp.round(logits), jnp.zeros_like(logits)):
        expected = oracle.task_accuracies(rough, targets, SIZES)
        np.testing.assert_array_equal(task_accuracies(rough, targets, SIZES), expected)


@given(seeds, st.floats(-1e4, 1e4))
@quick
def test_a_constant_added_to_one_task_changes_nothing(seed, constant):
    logits, targets = problem(seed)
    moved = logits.at[:, 2:5].add(constant)
    before, after = (task_losses(x, targets, SIZES) for x in (logits, moved))
    np.testing.assert_allclose(after, before, atol=1e-2)
    np.testing.assert_array_equal(after[:, [0, 2]], before[:, [0, 2]])


@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
def test_huge_logits_give_finite_losses_and_gradients(size):
    logits, targets = problem(0)
    huge = logits * size
    losses = task_losses(huge, targets, SIZES)
    slopes = jax.grad(lambda z: task_losses(z, targets, SIZES).sum())(huge)
    assert np.isfinite(losses).all()
    assert np.isfinite(slopes).all()
    # Past rounding a softmax is an argmax: the loss is the gap to the largest logit.
    gap = [huge[:, s : s + c].max(1) for s, c in zip((0, 2, 5), SIZES, strict=True)]
    right = jnp.stack([huge[jnp.arange(6), s + targets[:, i]] for i, s in enumerate((0, 2, 5))], 1)
    np.testing.assert_allclose(losses, jnp.stack(gap, 1) - right, rtol=1e-3, atol=1)


def test_a_task_far_below_another_does_not_underflow():
    logits, targets = problem(1)
    low = logits.at[:, :2].add(-300.0)
    expected = oracle.task_losses(low, targets, SIZES)
    np.testing.assert_allclose(task_losses(low, targets, SIZES), expected, rtol=1e-4, atol=1e-5)
    assert np.all(task_losses(low, targets, SIZES)[:, 0] > 0)
    np.testing.assert_allclose(
        jax.grad(lambda z: task_losses(z, targets, SIZES).sum())(low),
        jax.grad(lambda z: task_losses(z, targets, SIZES).sum())(logits),
        atol=1e-4,
    )


@given(seeds)
@quick
def test_the_gradient_is_softmax_minus_one_hot(seed):
    logits, targets = problem(seed)

    def loss(z):
        return weighted_loss(task_losses(z, targets, SIZES), jnp.asarray(WEIGHTS))

    expected = np.zeros(logits.shape)
    for n, row in enumerate(np.asarray(logits, np.float64)):
        start = 0
        for i, size in enumerate(SIZES):
            slope = oracle.softmax(row[start : start + size])
            slope[targets[n, i]] -= 1
            expected[n, start : start + size] = WEIGHTS[i] * slope / len(logits)
            start += size
    np.testing.assert_allclose(jax.grad(loss)(logits), expected, atol=1e-6)


def test_the_gradient_at_a_tie_is_still_softmax_minus_one_hot():
    targets = jnp.zeros((1, 3), jnp.int32)
    slope = jax.grad(lambda z: task_losses(z, targets, SIZES).sum())(jnp.zeros((1, 10)))
    expected = [[1 / 2 - 1, 1 / 2, 1 / 3 - 1, 1 / 3, 1 / 3, 1 / 5 - 1, *[1 / 5] * 4]]
    np.testing.assert_allclose(slope, expected, atol=1e-6)


@pytest.mark.parametrize("column", [2, 4])
def test_nan_is_never_right_and_stays_in_its_task(column):
    logits, _ = problem(2)
    broken = logits.at[0, column].set(jnp.nan)
    for answer in range(3):
        answers = jnp.full((6, 3), min(answer, 1), jnp.int32).at[:, 1].set(answer)
        found = task_accuracies(broken, answers, SIZES)
        assert found[0, 1] == 0
        np.testing.assert_array_equal(
            found[:, [0, 2]], task_accuracies(logits, answers, SIZES)[:, [0, 2]]
        )


def test_a_nan_makes_the_loss_nan():
    logits, targets = problem(2)
    broken = task_losses(logits.at[0, 3].set(jnp.nan), targets, SIZES)
    assert np.isnan(weighted_loss(broken, jnp.ones(3)))


def test_a_certain_right_answer_costs_exactly_nothing():
    logits = jnp.zeros((1, 10)).at[0, jnp.array([1, 2, 5])].set(40.0)
    targets = jnp.array([[1, 0, 0]], jnp.int32)
    assert np.all(task_losses(logits, targets, SIZES) == 0)


def test_what_is_minimised_is_the_weighted_mean():
    losses = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)
    expected = sum(float(w) * float(v) for row in losses for w, v in zip(WEIGHTS, row, strict=True))
    assert float(weighted_loss(losses, jnp.asarray(WEIGHTS))) == pytest.approx(
        expected / 5, abs=1e-6
    )


def test_guessing_at_chance_costs_one():
    targets = jnp.zeros((4, 3), jnp.int32)
    weights = jnp.asarray(1 / np.log(SIZES) / 3, jnp.float32)
    losses = task_losses(jnp.zeros((4, 10)), targets, SIZES)
    assert float(weighted_loss(losses, weights)) == pytest.approx(1, rel=1e-6)


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
        return weighted_loss(task_losses(z, targets, SIZES), FIXED)

    expected, slopes = jax.value_and_grad(plain)(logits)
    loss, own = jax.value_and_grad(training_loss)(logits, targets, FIXED, SIZES)
    np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-6 * (1 + scale))
    np.testing.assert_allclose(own, slopes, rtol=1e-5, atol=1e-7)
    assert not own[:, 2:5].any()  # its weight is 0


def test_the_gradient_of_the_training_loss_scales_with_what_comes_after():
    logits, targets = problem(3)
    once = jax.grad(training_loss)(logits, targets, FIXED, SIZES)
    thrice = jax.grad(lambda z: 3 * training_loss(z, targets, FIXED, SIZES))(logits)
    np.testing.assert_allclose(thrice, 3 * once, rtol=1e-6)


@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
def test_huge_logits_give_a_finite_training_loss_and_gradient(size):
    logits, targets = problem(0)
    loss, slopes = jax.value_and_grad(training_loss)(logits * size, targets, FIXED, SIZES)
    assert np.isfinite(loss) and np.isfinite(slopes).all()
