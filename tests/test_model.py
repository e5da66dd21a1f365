from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import oracles as oracle
import pytest
from jax.tree_util import Partial

from miiii_core.config import ModelConfig
from miiii_core.model import SITES, WEIGHT_NAMES, Transformer, logit_map

P, CLASSES, TASKS = 7, 10, 3
NUMBERS = np.arange(P * P, dtype=np.int32)
DIGITS = np.stack([NUMBERS % P, NUMBERS // P], axis=1)
close = partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-5)


def make_model(seed=0, p=P, n_tasks=TASKS, n_classes=CLASSES, **widths):
    config = ModelConfig(**{"d_model": 12, "n_heads": 3, "mlp_ratio": 2, "dropout": 0.0} | widths)
    return Transformer(config, p=p, n_tasks=n_tasks, n_classes=n_classes, key=jax.random.key(seed))


def arrays(model):
    return {name: np.asarray(weight, float) for name, weight in model.weights.items()}


@pytest.mark.parametrize("widths", [{"n_heads": 1}, {"d_model": 8, "n_heads": 8, "mlp_ratio": 1}])
def test_every_activation_is_the_full_sequences_at_the_last_token(widths):
    model = make_model(3, **widths)
    expected = oracle.transformer(arrays(model), DIGITS)
    found = model.activations(jnp.asarray(DIGITS))
    for name, values in expected.items():
        close(getattr(found, name), values[0, 2] if name == "resid_pre" else values[:, 2])
    close(model(jnp.asarray(DIGITS)), expected["logits"][:, 2])


@pytest.mark.parametrize("mask", ["shared", "sample"])
def test_a_call_with_dropout_is_the_full_sequence_with_the_whole_stream_masked(mask):
    model = make_model(5, dropout=0.4, dropout_mask=mask)
    key, noise = jax.random.key(9), np.random.default_rng(0)
    masks = []
    for part in jax.random.split(key):
        at_end = model._drop(jnp.ones((len(DIGITS), 12)), part, None)
        # What happens to the other positions after attention must not matter.
        elsewhere = noise.integers(0, 2, (len(DIGITS), 2, 12)) / 0.6
        masks.append(np.concatenate([elsewhere, np.asarray(at_end)[:, None]], axis=1))
    expected = oracle.transformer(arrays(model), DIGITS, *masks)["logits"][:, 2]
    close(model(jnp.asarray(DIGITS), key=key), expected)


class TestWeights:
    def test_they_have_the_standard_deviations_of_the_papers_code(self):
        model = make_model(p=113, n_tasks=29, n_classes=1480, d_model=256, n_heads=4, mlp_ratio=4)
        expected = {
            "W_E": 0.1325, "W_pos": 0.816, "W_Q": 0.0442, "W_K": 0.0442, "W_V": 0.0442,
            "W_O": 0.0884, "W_in": 0.0884, "W_out": 0.0442, "W_U": 0.0164,
        }  # fmt: skip
        assert tuple(model.weights) == WEIGHT_NAMES == tuple(expected)
        for name, weight in model.weights.items():
            rounding, five_sigma = 5e-5 / expected[name], 5 / np.sqrt(2 * weight.size)
            assert weight.dtype == np.float32
            assert weight.std() == pytest.approx(expected[name], rel=rounding + five_sigma + 1e-3)

    def test_each_is_drawn_by_a_key_of_its_own(self):
        model = make_model(5)
        keys = jax.random.split(jax.random.key(5), len(WEIGHT_NAMES))
        drawn = jax.random.normal(keys[-1], model.W_U.shape) * (2 / (TASKS * 12)) ** 0.5
        assert (model.W_U == drawn).all()
        drawn = jax.random.normal(keys[1], model.W_pos.shape) * (2 / 3) ** 0.5
        assert (model.W_pos == drawn).all()

    def test_initial_scales_of_nanda(self):
        model = make_model(p=31, n_tasks=1, n_classes=31, d_model=128, n_heads=4, init="nanda")
        for name, weight in model.weights.items():
            expected = 31**-0.5 if name == "W_U" else 128**-0.5
            assert weight.std() == pytest.approx(expected, rel=5 / np.sqrt(2 * weight.size))

    def test_the_map_from_neurons_to_logits(self):
        model = make_model()
        expected = arrays(model)["W_out"] @ arrays(model)["W_U"]
        np.testing.assert_allclose(logit_map(model), expected, rtol=1e-12)


def test_a_shared_mask_is_one_for_all_inputs_and_others_differ_between_them():
    def drop(mask, seed=0):
        model = make_model(dropout=0.25, dropout_mask=mask)
        return np.asarray(model._drop(jnp.ones((500, 12)), jax.random.key(seed), None))

    shared, own = drop("shared"), drop("sample")
    assert (shared == shared[0]).all() and (shared != drop("shared", seed=1)).any()
    assert len({tuple(row) for row in own}) > 50
    np.testing.assert_allclose(np.unique(own), [0, 4 / 3], rtol=1e-6)
    assert own.mean() == pytest.approx(1, abs=5 * np.sqrt(1 / 3 / own.size))


def scaled(values, factor):
    return values * factor


class TestEdits:
    @pytest.mark.parametrize("site", SITES)
    def test_what_follows_a_site_is_computed_from_its_edited_value(self, site):
        model = make_model(2)
        before = np.asarray(getattr(model.activations(jnp.asarray(DIGITS)), site), float)
        noise = np.random.default_rng(0).uniform(0.2, 2, before.shape)
        edit = {site: Partial(scaled, factor=jnp.asarray(noise, jnp.float32))}
        found = model.activations(jnp.asarray(DIGITS), edit)
        expected = oracle.read_out(arrays(model), DIGITS, **{site: before * noise})["logits"]
        close(getattr(found, site), before * noise)
        close(found.logits, expected)

    def test_several_sites_at_once_and_none(self):
        model, digits = make_model(4), jnp.asarray(DIGITS)
        both = {"attention": lambda a: jnp.full_like(a, 1 / 3), "neurons": jnp.zeros_like}
        found = model.activations(digits, both)
        assert (found.attention == found.attention[0, 0, 0]).all() and not found.neurons.any()
        close(found.resid_post, found.resid_mid)
        plain, kept = model.activations(digits), model.activations(digits, {})
        jax.tree.map(np.testing.assert_array_equal, plain, kept)

    def test_wrong_ones_are_refused(self):
        with pytest.raises(ValueError, match=r"'neuron'.*attention, head_out, .*resid_post"):
            make_model().activations(jnp.asarray(DIGITS), {"neuron": jnp.abs})
        with pytest.raises(ValueError, match=r"neurons .*\(49, 3\).*\(49, 24\)"):
            make_model().activations(jnp.asarray(DIGITS), {"neurons": lambda x: x[:, :3]})


def test_bfloat16_rounds_what_is_multiplied_and_nothing_else():
    exact, rounded = make_model(1), make_model(1, precision="bfloat16")
    value, slopes = (
        jax.jit(jax.value_and_grad(lambda m: (m(jnp.asarray(DIGITS)) ** 2).mean()))(m)
        for m in (exact, rounded)
    )
    for a, b in zip(jax.tree.leaves(value), jax.tree.leaves(slopes), strict=True):
        assert b.dtype == jnp.float32
        assert np.abs(a - b).max() <= 40 * 2**-8 * np.abs(a).max()
