import jax
import jax.numpy as jnp
import numpy as np
import oracles_circuits as oracle
import pytest

from miiii_core.circuits import ablation
from miiii_core.config import ModelConfig, TaskConfig
from miiii_core.network.losses import task_accuracies, task_losses
from miiii_core.network.model import Transformer
from miiii_core.tasks import make_task

FILLS = {"mean": oracle.put_to_mean, "zero": oracle.put_to_zero}


@pytest.fixture(scope="module")
def small():
    """A task, a random model large enough to have opinions, its activations, its weights."""
    task = make_task(TaskConfig(p=7, n_validation=10), jax.random.key(1))
    config = ModelConfig(d_model=8, n_heads=2, mlp_ratio=2)
    model = Transformer(
        config, p=7, n_tasks=len(task.moduli), n_classes=task.n_classes, key=jax.random.key(2)
    )
    model = jax.tree.map(lambda weight: weight * 2, model)
    return task, model, model.activations(task.digits), model.weights


def clean(small):
    task, _, _, weights = small
    return oracle.read_out(weights, task.digits)


def test_the_oracle_and_the_model_agree_before_anything_is_removed(small):
    _, _, activations, _ = small
    for name, values in clean(small).items():
        np.testing.assert_allclose(getattr(activations, name), values, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rows", [None, [3, 1, 40, 8]])
def test_scores_are_means_over_rows_by_loops(small, rows):
    task, _, activations, _ = small
    chosen = range(49) if rows is None else rows
    loss, accuracy = oracle.scores(
        np.asarray(activations.logits, float), task.targets, task.class_sizes, chosen
    )
    found = ablation.score(activations.logits, task, None if rows is None else np.array(rows))
    np.testing.assert_allclose(found.loss, loss, rtol=1e-5)
    np.testing.assert_allclose(found.accuracy, accuracy, rtol=1e-5)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("rows", [None, [5, 0, 17, 30, 31]])
def test_each_neurons_effect_is_that_of_running_again_without_it(small, fill, rows):
    task, model, activations, weights = small
    chosen = range(49) if rows is None else rows
    found = ablation.neuron_effects(
        activations, model, task, fill=fill, rows=None if rows is None else np.array(rows)
    )
    before = clean(small)
    loss, accuracy = oracle.scores(before["logits"], task.targets, task.class_sizes, chosen)
    for neuron in range(16):
        hidden = FILLS[fill](before["neurons"], [neuron])
        again = oracle.read_out(weights, task.digits, neurons=hidden)["logits"]
        after = oracle.scores(again, task.targets, task.class_sizes, chosen)
        np.testing.assert_allclose(found.loss[neuron], after[0] - loss, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found.accuracy[neuron], after[1] - accuracy, atol=1e-5)


def test_effects_do_not_depend_on_how_many_neurons_go_side_by_side(small, monkeypatch):
    task, model, activations, _ = small
    at_once = ablation.neuron_effects(activations, model, task)
    monkeypatch.setattr(ablation, "CHUNK_BYTES", 3 * 4 * activations.logits.size)
    by_threes = ablation.neuron_effects(activations, model, task)
    np.testing.assert_allclose(at_once.loss, by_threes.loss, atol=1e-6)
    np.testing.assert_array_equal(at_once.accuracy, by_threes.accuracy)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("removed", [[], [2], [0, 5, 9, 15], range(16)])
def test_neurons_removed_together(small, fill, removed):
    task, model, activations, weights = small
    hidden = FILLS[fill](clean(small)["neurons"], removed)
    expected = oracle.read_out(weights, task.digits, neurons=hidden)["logits"]
    mask = ablation.unit_mask(list(removed), 16)
    logits = ablation.ablate_neurons(activations, model, mask, fill)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    rows = np.array([40, 3])
    some = ablation.ablate_neurons(activations, model, mask, fill, rows)
    np.testing.assert_allclose(some, expected[rows], rtol=1e-4, atol=1e-4)


def test_scores_are_those_of_training_ties_and_broken_logits_too():
    sizes, generator = (2, 3, 5), np.random.default_rng(3)
    logits = generator.integers(-2, 3, (200, 10)).astype(np.float32)  # many ties
    logits[0, 3], logits[1, 1], logits[2, 9] = np.nan, np.inf, -np.inf
    targets = np.stack([generator.integers(0, size, 200) for size in sizes], axis=1)
    losses, hits = ablation._losses_and_hits(jnp.asarray(logits), jnp.asarray(targets), sizes)
    expected = task_losses(jnp.asarray(logits), jnp.asarray(targets), sizes)
    finite = np.isfinite(logits).all(axis=1)
    np.testing.assert_allclose(losses[finite], expected[finite], rtol=1e-5, atol=1e-6)
    again = task_accuracies(jnp.asarray(logits), jnp.asarray(targets), sizes)
    np.testing.assert_array_equal(hits, again)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("removed", [[], [0], [1], [0, 1]])
def test_heads_removed_and_the_neurons_computed_again(small, fill, removed):
    task, model, activations, weights = small
    outputs = FILLS[fill](clean(small)["head_out"], removed)
    expected = oracle.read_out(weights, task.digits, head_out=outputs)["logits"]
    logits = ablation.ablate_heads(activations, model, ablation.unit_mask(removed, 2), fill)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("fixed", [[], [1], [0, 1]])
def test_attention_held_at_its_mean_while_values_vary(small, fixed):
    task, model, activations, weights = small
    pattern = oracle.put_to_mean(clean(small)["attention"], fixed)
    expected = oracle.read_out(weights, task.digits, attention=pattern)["logits"]
    mask = ablation.unit_mask(fixed, 2)
    logits = ablation.fix_attention(activations, model, task.digits, mask)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_frequency_removed_from_the_embedding_alone(small, k):
    task, model, _, weights = small
    changed = dict(weights) | {"W_E": np.array(weights["W_E"], float)}
    changed["W_E"][:7] = oracle.without_frequency(changed["W_E"][:7], k)
    removed = ablation.without_frequencies(model, ablation.unit_mask([k - 1], 3))
    np.testing.assert_allclose(removed.W_E, changed["W_E"], atol=1e-5)
    expected = oracle.read_out(changed, task.digits)["logits"]
    np.testing.assert_allclose(
        removed.activations(task.digits).logits, expected, rtol=1e-4, atol=1e-4
    )


def test_all_frequencies_removed_leave_the_mean_digit_and_the_read_out_token(small):
    _, model, _, _ = small
    bare = ablation.without_frequencies(model, np.ones(3, bool))
    mean = np.asarray(model.W_E[:7]).mean(axis=0, keepdims=True)
    np.testing.assert_allclose(bare.W_E[:7], np.repeat(mean, 7, axis=0), atol=1e-5)
    np.testing.assert_array_equal(bare.W_E[7], model.W_E[7])


def test_replaced_matrices_and_no_others_are_new(small):
    model = small[1]
    changed = ablation.with_weights(model, W_pos=np.zeros((3, 8), np.float32))
    assert not changed.W_pos.any()
    assert all(changed.weights[n] is w for n, w in model.weights.items() if n != "W_pos")


@pytest.mark.parametrize("name, shape", [("W_pos", (2, 8)), ("W_X", (3, 8))])
def test_a_matrix_that_fits_nowhere_is_refused(small, name, shape):
    with pytest.raises(ValueError, match=rf"{name} of shape .* fits nowhere; .*W_pos \(3, 8\)"):
        ablation.with_weights(small[1], **{name: np.zeros(shape, np.float32)})


def test_held_out_inputs_are_those_not_trained_on(small):
    task = small[0]
    both = np.concatenate([task.train, ablation.held_out(task)])
    np.testing.assert_array_equal(np.sort(both), np.arange(49))


def test_a_second_call_compiles_nothing(small):
    task, model, activations, _ = small
    ablation.neuron_effects(activations, model, task)
    before = ablation._rank_one_effects._cache_size()
    ablation.neuron_effects(activations, model, task, fill="zero")
    assert ablation._rank_one_effects._cache_size() == before


def test_unit_numbers_out_of_range_are_named():
    with pytest.raises(ValueError, match=r"no unit has number \[9, -1\]; the 4 units are 0 to 3"):
        ablation.unit_mask([0, 9, -1], 4)


def test_a_mask_of_another_length_is_refused(small):
    task, model, activations, _ = small
    short = np.zeros(4, bool)
    for removal in (
        lambda: ablation.ablate_neurons(activations, model, short),
        lambda: ablation.ablate_heads(activations, model, short),
        lambda: ablation.fix_attention(activations, model, task.digits, short),
        lambda: ablation.without_frequencies(model, short),
    ):
        with pytest.raises(ValueError, match=r"mask of shape \(4,\) was given for (16|2|3) \w+"):
            removal()


def test_an_unknown_fill_is_refused(small):
    _, model, activations, _ = small
    with pytest.raises(ValueError, match="'median' will not do; it takes one of mean, zero"):
        ablation.ablate_neurons(activations, model, np.ones(16, bool), "median")


def test_logits_of_some_inputs_only_are_refused(small):
    task, _, activations, _ = small
    with pytest.raises(ValueError, match=r"logits of shape \(48, 10\).*this task has \(49, 10\)"):
        ablation.score(activations.logits[1:], task)


def test_an_average_over_no_rows_is_refused(small):
    task, _, activations, _ = small
    with pytest.raises(ValueError, match="no rows were given"):
        ablation.score(activations.logits, task, jnp.array([], int))
