import jax
import jax.numpy as jnp
import numpy as np
import pytest

from miiii_core.config import SWEEPABLE, Config
from miiii_core.training.optim import gradient_filter, optimiser
from miiii_core.training.swept import ALONE, Swept

CONFIG = Config().replace(
    dropout=0.15, learning_rate=0.03, weight_decay=0.7, grokfast_lambda=1.7, grokfast_alpha=0.83
)


def test_alone_every_setting_is_the_constant():
    assert jax.tree.leaves(ALONE) == []
    assert ALONE.value(CONFIG.optim, "weight_decay") == 0.7


def test_a_swept_setting_is_the_array_and_the_others_stay_constants():
    swept = Swept.of(CONFIG, ("seed", "weight_decay", "dropout"))
    assert len(jax.tree.leaves(swept)) == 2
    assert swept.value(CONFIG.optim, "weight_decay") == jnp.float32(0.7)
    assert swept.keep == jnp.float32(0.85)
    assert swept.value(CONFIG.optim, "learning_rate") == 0.03


def test_every_field_that_can_be_swept_is_a_field():
    for name in SWEEPABLE:
        CONFIG.replace(**{name: 0 if name == "seed" else 0.5})
    assert len(jax.tree.leaves(Swept.of(CONFIG, SWEEPABLE))) == len(SWEEPABLE) - 1


@pytest.mark.parametrize("grokfast", ["ema", "ma", "none"])
def test_updates_from_arrays_are_those_from_constants(grokfast):
    config = CONFIG.replace(grokfast=grokfast, grokfast_window=2).optim
    noise = np.random.default_rng(0)
    weights, *gradients = (jnp.asarray(noise.normal(size=5), jnp.float32) for _ in range(4))
    found = []
    for swept in (ALONE, Swept.of(CONFIG, SWEEPABLE)):
        transformation = optimiser(config, swept)
        state = transformation.init(weights)
        for gradient in gradients:
            updates, state = transformation.update(gradient, state, weights)
        found.append((updates, state))
    jax.tree.map(np.testing.assert_array_equal, *found)


def test_where_lambda_is_swept_there_is_a_filter_though_it_is_zero():
    config = CONFIG.replace(grokfast_lambda=0.0)
    swept = Swept.of(config, ("grokfast_lambda",))
    gradient = jnp.array([0.3, -2.0])
    filter_ = gradient_filter(config.optim, swept)
    filtered, state = filter_.update(gradient, filter_.init(gradient))
    np.testing.assert_array_equal(filtered, gradient)
    np.testing.assert_allclose(state.mean, 0.17 * gradient, rtol=1e-5)
    assert gradient_filter(config.optim).init(gradient) == ()
