import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles as oracle
import pytest
from counting import compilations
from hypothesis import given, settings
from hypothesis import strategies as st

from miiii_core.config import ModelConfig
from miiii_core.network.model import WEIGHT_NAMES, Transformer

P, CLASSES, TASKS = 7, 10, 3
DIGITS = np.stack([np.arange(P * P) % P, np.arange(P * P) // P], axis=1).astype(np.int32)


def make_model(seed=0, p=P, n_tasks=TASKS, n_classes=CLASSES, **widths):
    config = ModelConfig(**{"d_model": 12, "n_heads": 3, "mlp_ratio": 2, "dropout": 0.0} | widths)
    return Transformer(config, p=p, n_tasks=n_tasks, n_classes=n_classes, key=jax.random.key(seed))


def arrays(model):
    return {name: np.asarray(weight) for name, weight in model.weights.items()}


@pytest.mark.parametrize(
    "widths",
    [
        {},
        {"n_heads": 1},
        {"n_heads": 12},
        {"d_model": 8, "n_heads": 4, "mlp_ratio": 1},
    ],
)
def test_every_activation_is_the_full_sequences_at_the_last_token(widths):
    model = make_model(3, **widths)
    expected = oracle.transformer(arrays(model), DIGITS)
    found = model.activations(jnp.asarray(DIGITS))
    for name, values in expected.items():
        at_end = values[0, 2] if name == "resid_pre" else values[:, 2]
        np.testing.assert_allclose(getattr(found, name), at_end, rtol=2e-5, atol=2e-5)


def test_a_call_gives_the_logits_of_the_full_sequence():
    model = make_model(4)
    expected = oracle.transformer(arrays(model), DIGITS)["logits"][:, 2]
    np.testing.assert_allclose(model(jnp.asarray(DIGITS)), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("mask", ["shared", "sample"])
def test_a_call_with_dropout_is_the_full_sequence_with_the_whole_stream_masked(mask):
    model = make_model(5, dropout=0.4, dropout_mask=mask)
    key, noise = jax.random.key(9), np.random.default_rng(0)
    masks = []
    for part in jax.random.split(key):
        at_end = model._drop(jnp.ones((len(DIGITS), 12)), part)
        # What happens to the other positions after attention must not matter.
        elsewhere = noise.integers(0, 2, (len(DIGITS), 2, 12)) / 0.6
        masks.append(np.concatenate([elsewhere, np.asarray(at_end)[:, None]], axis=1))
    expected = oracle.transformer(arrays(model), DIGITS, *masks)["logits"][:, 2]
    found = model(jnp.asarray(DIGITS), key=key)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


@given(st.integers(0, 10**6), st.floats(0, 8))
@settings(deadline=None, max_examples=15)
def test_attention_rows_are_probabilities(seed, scale):
    model = jax.tree.map(lambda w: w * scale, make_model(seed))
    attention = model.activations(jnp.asarray(DIGITS)).attention
    assert attention.shape == (P * P, 3, 3)
    assert np.all(np.asarray(attention) >= 0)
    np.testing.assert_allclose(attention.sum(axis=2), 1, rtol=1e-5)


def test_heads_are_added_to_the_stream():
    found = make_model(1).activations(jnp.asarray(DIGITS))
    total = found.resid_pre[None] + found.head_out.sum(axis=1)
    np.testing.assert_allclose(found.resid_mid, total, rtol=1e-6, atol=1e-6)


def test_the_later_stages_can_be_run_by_themselves():
    model = make_model(2)
    found = model.activations(jnp.asarray(DIGITS))
    neurons_pre, neurons, resid_post = model.mlp(found.resid_mid)
    for name, values in {
        "neurons_pre": neurons_pre,
        "neurons": neurons,
        "resid_post": resid_post,
    }.items():
        np.testing.assert_allclose(values, getattr(found, name), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.unembed(resid_post), found.logits, rtol=1e-5, atol=1e-5)


def test_weights_have_the_standard_deviations_of_the_papers_code():
    model = make_model(0, p=113, n_tasks=29, n_classes=1480, d_model=256, n_heads=4, mlp_ratio=4)
    expected = {
        "W_E": 0.1325, "W_pos": 0.816, "W_Q": 0.0442, "W_K": 0.0442, "W_V": 0.0442,
        "W_O": 0.0884, "W_in": 0.0884, "W_out": 0.0442, "W_U": 0.0164,
    }  # fmt: skip
    assert tuple(model.weights) == WEIGHT_NAMES == tuple(expected)
    for name, weight in arrays(model).items():
        rounding, five_sigma = 5e-5 / expected[name], 5 / np.sqrt(2 * weight.size)
        assert weight.dtype == np.float32
        assert weight.std() == pytest.approx(expected[name], rel=rounding + five_sigma + 1e-3)
        assert abs(weight.mean()) < 5 * expected[name] / np.sqrt(weight.size)


def test_initial_scales_of_nanda_leave_neurons_room_to_bend():
    bent = {}
    for init in ("he", "nanda"):
        config = ModelConfig(d_model=128, init=init)
        model = Transformer(config, p=31, n_tasks=1, n_classes=31, key=jax.random.key(0))
        digits = np.stack([np.arange(31**2) % 31, np.arange(31**2) // 31], axis=1)
        neurons = np.asarray(model.activations(jnp.asarray(digits)).neurons)
        bent[init] = ((neurons.max(axis=0) > 0) & (neurons.min(axis=0) == 0)).mean()
    for name, weight in model.weights.items():
        expected = 31**-0.5 if name == "W_U" else 128**-0.5
        assert weight.std() == pytest.approx(expected, rel=5 / np.sqrt(2 * weight.size))
    assert bent["he"] < 0.5 < bent["nanda"]


def test_no_two_matrices_share_their_draws():
    model = make_model(0, d_model=16, n_heads=1, mlp_ratio=1, p=15, n_classes=16)
    drawn = [w.ravel()[:48] / w.std() for w in arrays(model).values()]
    correlation = np.corrcoef(drawn) - np.eye(len(drawn))
    assert np.abs(correlation).max() < 0.75
    assert (arrays(make_model(0))["W_E"] != arrays(make_model(1))["W_E"]).all()


def test_sizes_follow_from_the_weights():
    model = make_model()
    assert model.p == P
    shapes = {name: weight.shape for name, weight in model.weights.items()}
    assert shapes == {
        "W_E": (8, 12), "W_pos": (3, 12), "W_Q": (3, 12, 4), "W_K": (3, 12, 4), "W_V": (3, 12, 4),
        "W_O": (3, 4, 12), "W_in": (12, 24), "W_out": (24, 12), "W_U": (12, 10),
    }  # fmt: skip
    assert len(jax.tree.leaves(model)) == len(WEIGHT_NAMES)


class TestDropout:
    stream = jnp.ones((500, 12))

    def drop(self, mask, dropout=0.25, seed=0):
        model = make_model(dropout=dropout, dropout_mask=mask)
        return np.asarray(model._drop(self.stream, jax.random.key(seed)))

    def test_a_shared_mask_is_the_same_for_all_inputs(self):
        dropped = self.drop("shared")
        assert (dropped == dropped[0]).all()
        assert (dropped != self.drop("shared", seed=1)).any()

    def test_a_mask_for_each_input_differs_between_them(self):
        dropped = self.drop("sample")
        assert len({tuple(row) for row in dropped}) > 50
        assert dropped.mean() == pytest.approx(1, abs=5 * np.sqrt(1 / 3 / dropped.size))

    @pytest.mark.parametrize("mask", ["shared", "sample"])
    def test_what_is_kept_is_scaled_up_so_that_the_mean_stays(self, mask):
        draws = np.concatenate([self.drop(mask, seed=s)[:1] for s in range(200)])
        np.testing.assert_allclose(np.unique(draws), [0, 4 / 3], rtol=1e-6)
        assert draws.mean() == pytest.approx(1, abs=5 * np.sqrt(1 / 3 / draws.size))

    @pytest.mark.parametrize("mask", ["shared", "sample"])
    def test_nothing_is_dropped_without_a_key_or_at_rate_zero(self, mask):
        wet, dry = make_model(dropout=0.5, dropout_mask=mask), make_model(dropout=0.0)
        digits, key = jnp.asarray(DIGITS), jax.random.key(0)
        np.testing.assert_array_equal(wet(digits), dry(digits))
        np.testing.assert_array_equal(dry(digits, key=key), dry(digits))
        assert (np.asarray(wet(digits, key=key)) != np.asarray(dry(digits))).any()

    @pytest.mark.parametrize("mask", ["shared", "sample"])
    @pytest.mark.parametrize("rate", [0.0, 0.1, 0.35])
    def test_a_share_that_comes_as_an_array_is_kept_like_a_constant(self, mask, rate):
        other, own = (
            make_model(dropout=0.7, dropout_mask=mask),
            make_model(dropout=rate, dropout_mask=mask),
        )
        digits, key, keep = jnp.asarray(DIGITS), jax.random.key(2), jnp.float32(1 - rate)
        np.testing.assert_array_equal(other(digits, key=key, keep=keep), own(digits, key=key))
        np.testing.assert_array_equal(other(digits, keep=keep), own(digits))

    def test_the_two_masks_of_a_step_are_drawn_apart(self):
        model = make_model(dropout=0.5, n_classes=12)
        # W_O = W_out = 0 and W_U = 1 pass the embedding through both masks.
        identity = eqx.tree_at(
            lambda m: (m.W_O, m.W_out, m.W_U),
            model,
            (jnp.zeros_like(model.W_O), jnp.zeros_like(model.W_out), jnp.eye(12)),
        )
        draws = [
            np.asarray(identity(jnp.asarray(DIGITS[:1]), key=jax.random.key(s))) for s in range(99)
        ]
        kept = np.mean(np.concatenate(draws) != 0)
        assert kept == pytest.approx(0.25, abs=5 * np.sqrt(0.25 * 0.75 / (99 * 12)))


def test_reading_activations_again_compiles_nothing():
    model, digits = make_model(6), jnp.asarray(DIGITS)
    model.activations(digits)
    other = make_model(7)
    with compilations() as compiled:
        other.activations(digits)
    assert not compiled
