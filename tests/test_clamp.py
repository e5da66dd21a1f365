import jax
import jax.numpy as jnp
import numpy as np
import oracles_circuits as oracle
import pytest
from tiny import TINY

from miiii_core.config import ModelConfig, TaskConfig
from miiii_core.network.model import Transformer
from miiii_core.tasks import make_task
from miiii_core.training import clamp, train

MODULI = (2, 3, 5)


@pytest.fixture(scope="module")
def start():
    """A tiny training: its problem, its task and its first state."""
    task = train.task_of(TINY)
    return train.Problem.of(TINY, task), task, train.initial_state(TINY, task)


def by_least_squares(values, waves, numbers):
    """Values less their fit by centred cos and sin, written the long way."""
    columns = [turned(2 * np.pi * k * numbers / q) for k, q in waves for turned in (np.cos, np.sin)]
    table = np.stack(columns, axis=1)
    table = table - table.mean(axis=0)
    return values - table @ np.linalg.lstsq(table, values, rcond=1e-9)[0]


@pytest.mark.parametrize("waves", [[], [(1, 2)], [(1, 5), (2, 5), (1, 3)]])
def test_clamped_logits_are_those_of_neurons_without_their_fit_by_the_waves(waves):
    task = make_task(TaskConfig(p=7, n_validation=10), jax.random.key(1))
    config = ModelConfig(d_model=8, n_heads=2, mlp_ratio=2)
    model = Transformer(config, p=7, n_tasks=3, n_classes=10, key=jax.random.key(2))
    hidden = oracle.read_out(model.weights, task.digits)["neurons"]
    if waves:
        hidden = by_least_squares(hidden, waves, np.arange(49))
    expected = oracle.read_out(model.weights, task.digits, neurons=hidden)["logits"]
    basis = clamp.Clamp.of(task, waves, 6).every
    found = clamp.clamped_logits(model, jnp.asarray(task.digits), basis)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_bases_are_orthonormal_centred_and_filled_up_with_zeros():
    numbers = np.random.default_rng(0).permutation(49)[:30]
    basis = clamp.wave_basis(numbers, [(1, 2), (2, 5)], 7, MODULI)
    np.testing.assert_allclose(basis.T @ basis, np.diag([1, 1, 1, 0, 0, 0, 0]), atol=1e-9)
    np.testing.assert_allclose(basis.sum(axis=0), 0, atol=1e-9)
    wave = np.cos(2 * np.pi * 2 * numbers / 5)
    wave = wave - wave.mean()
    np.testing.assert_allclose(basis @ (basis.T @ wave), wave, atol=1e-9)


def test_with_nothing_clamped_training_is_as_it_was(start):
    problem, task, state = start
    free = clamp.Clamp.of(task, [], 4)
    mine, loss = clamp.clamped_advance(problem, free, state, jnp.asarray(20, jnp.int32))
    again = train.initial_state(TINY, task)
    theirs, expected = train.advance(problem, again, jnp.asarray(20, jnp.int32))
    assert int(mine.epoch) == int(theirs.epoch) == 20
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    pairs = zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True)
    for ours, other in pairs:
        np.testing.assert_allclose(ours, other, rtol=1e-3, atol=1e-5)


def test_a_gradient_is_the_slope_of_the_clamped_loss(start):
    problem, task, state = start
    held = clamp.Clamp.of(task, [(1, 3), (2, 5)], 4)
    loss, gradient = clamp.clamped_gradient(problem, held, state)
    direction = jax.random.normal(jax.random.key(0), state.model.W_out.shape)

    def moved(size):
        weights = state.model.W_out + size * direction
        import equinox as eqx

        model = eqx.tree_at(lambda m: m.W_out, state.model, weights)
        changed = train.TrainState(model, state.opt_state, state.epoch, state.settled_since)
        return float(clamp.clamped_gradient(problem, held, changed)[0])

    slope = (moved(1e-2) - moved(-1e-2)) / 2e-2
    assert float(loss) == moved(0.0)
    np.testing.assert_allclose((gradient.W_out * direction).sum(), slope, rtol=2e-2, atol=1e-5)


def test_after_training_no_task_can_read_a_clamped_wave_from_neurons(start):
    problem, task, state = start
    held = clamp.Clamp.of(task, [(2, 5)], 4)
    state, _ = clamp.clamped_advance(problem, held, state, jnp.asarray(10, jnp.int32))
    digits = jnp.asarray(task.digits)
    a = state.model.activations(digits)
    past = np.asarray(a.resid_mid @ state.model.W_U)
    read = np.asarray(clamp.clamped_logits(state.model, digits, held.every)) - past
    wave = np.exp(2j * np.pi * 2 * np.arange(49) / 5)
    left = np.abs((wave - wave.mean()) @ (read - read.mean(axis=0)))
    assert left.max() < 1e-3 < np.abs((wave - wave.mean()) @ np.asarray(a.logits - past)).max()


def test_accuracies_are_those_of_the_clamped_logits(start):
    problem, task, state = start
    held = clamp.Clamp.of(task, [(1, 2)], 4)
    found = clamp.clamped_accuracy(problem, state.model, held.every)
    logits = np.asarray(clamp.clamped_logits(state.model, problem.all_digits, held.every))
    right = np.argmax(logits[:, 2:5], axis=1) == task.targets[:, 1]
    np.testing.assert_allclose(found[0, 1], right[task.train].mean(), rtol=1e-6)


def test_waves_are_taken_out_of_a_trained_network_once(start):
    problem, task, state = start
    held = clamp.Clamp.of(task, [(1, 3), (2, 5)], 8)
    expected = clamp.clamped_accuracy(problem, state.model, held.every)[1]
    outlet = clamp.Outlet.of(state.model, task)
    found = outlet.accuracy_without([(1, 3), (2, 5)])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    whole = outlet.accuracy_without([])
    logits = np.asarray(state.model(jnp.asarray(task.digits)))[task.validation]
    right = np.argmax(logits[:, :2], axis=1) == task.targets[task.validation, 0]
    assert whole[0] == pytest.approx(right.mean())


@pytest.mark.parametrize(
    ("waves", "rank", "said"),
    [
        ([(3, 5)], 4, "there is no wave 3/5"),
        ([(1, 7)], 4, "q is one of"),
        ([(0, 5)], 4, "there is no wave 0/5"),
        ([(1, 5), (2, 5)], 3, "2 waves have 4 directions; rank=3"),
    ],
)
def test_waves_that_cannot_be_clamped_are_refused(start, waves, rank, said):
    with pytest.raises(ValueError, match=said):
        clamp.Clamp.of(start[1], waves, rank)
