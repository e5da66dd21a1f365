import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles as oracle
import pytest

from miiii_core import probes, train
from miiii_core.config import Config
from miiii_core.model import WEIGHT_NAMES
from miiii_core.probes import PROBES

P, NEURONS = 7, 16
CONFIG = Config().replace(
    p=P, n_validation=10, d_model=8, n_heads=2, mlp_ratio=2, dropout=0.2, learning_rate=1e-2
)


@pytest.fixture(scope="module")
def problem():
    return train.Problem.of(CONFIG, train.task_of(CONFIG))


@pytest.fixture(scope="module")
def state(problem):
    fresh = train.initial_state(CONFIG, train.task_of(CONFIG))
    return train.advance(problem, fresh, jnp.asarray(3, jnp.int32))[0]


@pytest.fixture(scope="module")
def measured(problem, state):
    found = train.measure(problem, state) | train.measure(problem, state, wide=True)
    return {name: np.asarray(v) for name, v in found.items()}


@pytest.fixture(scope="module")
def neurons(problem, state):
    """Post-ReLU neurons over the grid, axes (n, neuron), by the naive transformer."""
    weights = {name: np.asarray(w, np.float64) for name, w in state.model.weights.items()}
    return oracle.transformer(weights, np.asarray(problem.all_digits))["neurons"][:, 2]


@pytest.fixture(scope="module")
def spectrum(neurons):
    """Power of every neuron on every pair of frequencies but none, by NumPy's complex transform."""
    grids = neurons.T.reshape(NEURONS, P, P).swapaxes(1, 2)
    power = np.stack([oracle.fft_power_2d(grid) for grid in grids])
    power[:, 0, 0] = 0
    return power


def test_axes_fit_shapes(measured):
    sizes = {"split": 3, "task": 3, "matrix": 9, "k0": P // 2 + 1, "k1": P // 2 + 1}
    sizes |= {"frequency": P // 2 + 1, "prime": 3}
    axes = probes.metric_axes(CONFIG)
    assert set(PROBES) == set(CONFIG.train.probes)
    assert set(axes) == {"epoch", "wide_epoch", *measured}
    for name, value in measured.items():
        assert value.shape == tuple(sizes[axis] for axis in axes[name][1:]), name


def test_gradient_norms_are_those_of_the_step_to_come(problem, state, measured):
    key = jax.random.fold_in(problem.key, 3)
    gradient = eqx.filter_jit(jax.grad(train.objective))(state.model, problem, key)
    for row, name in enumerate(WEIGHT_NAMES):
        held = (gradient, state.opt_state[0].memory, state.model)
        raw, slow, weight = (np.asarray(model.weights[name], float) for model in held)
        filtered = raw + 0.5 * (0.98 * slow + 0.02 * raw)
        matrices = {"grad_norm": raw, "filtered_grad_norm": filtered, "weight_norm": weight}
        for metric, matrix in matrices.items():
            assert measured[metric][row] == pytest.approx(np.sqrt((matrix**2).sum()), rel=1e-4)


def test_zero_loss_share_counts_losses_of_exactly_nothing(problem, state):
    certain = eqx.tree_at(lambda s: s.model.W_U, state, replace_fn=lambda w: 300 * w)
    found = np.asarray(train.measure(problem, certain)["zero_loss_share"])
    task = train.task_of(CONFIG)
    logits = np.asarray(certain.model.activations(problem.all_digits).logits)
    low, high = np.zeros((49, 3)), np.zeros((49, 3))
    for n, row in enumerate(logits):
        for i, own in enumerate(task.columns):
            right = task.targets[n, i]
            gap = np.delete(row[own], right).max() - row[own][right]
            # In float32 the others vanish beside 1 below about e^-17; between, leave it open.
            low[n, i], high[n, i] = gap < -18, gap < -14
    for split, members in enumerate((task.train, task.validation, task.test)):
        assert np.all(found[split] >= low[members].mean(0) - 1e-6)
        assert np.all(found[split] <= high[members].mean(0) + 1e-6)
    assert 0 < found.mean() < 1


def test_neuron_power_is_each_neurons_share_by_numpys_transform(measured, spectrum):
    total = spectrum.sum(axis=(1, 2), keepdims=True)
    share = np.divide(spectrum, total, out=np.zeros_like(spectrum), where=total > 1e-9)
    np.testing.assert_allclose(measured["neuron_power"], share.mean(0), atol=1e-5)
    np.testing.assert_allclose(measured["first_neuron_power"], spectrum[0], rtol=1e-3, atol=1e-5)
    active = [oracle.active_by_loop(power).sum() for power in spectrum]
    assert measured["active_per_neuron"] == pytest.approx(np.mean(active), rel=1e-6)


def test_the_embedding_is_decomposed_without_the_read_out_token(state, measured):
    digits = np.asarray(state.model.W_E)[:P].astype(np.float64)
    expected = sum(oracle.fft_power(column) for column in digits.T)
    np.testing.assert_allclose(measured["embedding_power"], expected, rtol=1e-5)


def test_residues_are_the_conditional_means_of_the_interaction(problem, measured, neurons):
    numbers = np.arange(P * P)
    grids = neurons.T.reshape(NEURONS, P, P)  # axes (x1, x0): rows of n
    varying = grids - grids.mean(1, keepdims=True) - grids.mean(2, keepdims=True)
    varying = (varying + grids.mean((1, 2), keepdims=True)).reshape(NEURONS, -1)
    total = (varying**2).mean(1).sum()
    between = np.zeros((NEURONS, 3))
    for i, q in enumerate((2, 3, 5)):
        means = np.stack([varying[:, numbers % q == r].mean(1) for r in range(q)])
        sizes = np.array([(numbers % q == r).sum() for r in range(q)])
        between[:, i] = (sizes[:, None] * means**2).sum(0) / P**2
    np.testing.assert_allclose(measured["residue_share"], between.sum(0) / total, rtol=1e-4)
    alive = (varying**2).mean(1) > 1e-12
    expected = np.bincount(between.argmax(1)[alive], minlength=3)
    np.testing.assert_array_equal(measured["residue_neurons"], expected)
