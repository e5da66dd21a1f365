import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles as oracle
import pytest
from counting import compilations

from miiii_core import losses, probes, train
from miiii_core.config import Config
from miiii_core.model import numerics

TINY = Config().replace(
    p=5, n_validation=6, d_model=8, n_heads=2, mlp_ratio=2, dropout=0.3, learning_rate=1e-3,
    epochs=40,
)  # fmt: skip


def beginning(config=TINY):
    task = train.task_of(config)
    return train.Problem.of(config, task), train.initial_state(config, task)


def advanced(problem, state, *chunks):
    state = jax.tree.map(jnp.copy, state)
    for n in chunks:
        state, loss = train.advance(problem, state, jnp.asarray(n, jnp.int32))
    return state, loss


def fitted(config, state=None):
    task = train.task_of(config)
    return train.fit(config, task, train.initial_state(config, task) if state is None else state)


def assert_same_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def tiny():
    return beginning()


# The losses before the first steps, by training version. If these fail because the numbers of a
# training were meant to change, raise TRAINING_VERSION and add a row; do not edit one.
PINNED = {
    1: {
        "ema": [1.3120227, 1.2462858, 1.146504, 1.1924577, 1.2540032, 1.1382955],
        "ma": [1.3181639, 1.242236, 1.2326586, 1.1513582, 1.1486315, 1.1395924],
    }
}


@pytest.mark.parametrize("grokfast", ["ema", "ma"])
def test_the_training_version_stands_for_these_losses(grokfast):
    mask = "shared" if grokfast == "ema" else "sample"
    own = {"grokfast": grokfast, "grokfast_window": 3, "dropout_mask": mask, "dropout": 0.1}
    problem, state = beginning(TINY.replace(p=7, n_validation=10, **own))
    losses = []
    for _ in range(6):
        state, loss = advanced(problem, state, 1)
        losses.append(float(loss))
    assert losses == pytest.approx(PINNED[train.TRAINING_VERSION][grokfast], rel=1e-5)


def test_the_gradient_is_the_slope_of_the_loss_by_loops():
    problem, state = beginning(TINY.replace(p=7, name="masked", masked=(2,)))
    key, ones = jax.random.key(5), jnp.ones((len(problem.digits), 8))
    gradient = eqx.filter_jit(jax.grad(train.objective))(state.model, problem, key)
    dropped = [state.model._drop(ones, k, None) for k in jax.random.split(key)]
    masks = [np.repeat(mask[:, None], 3, axis=1) for mask in dropped]
    weights = {n: np.asarray(w, np.float64) for n, w in state.model.weights.items()}
    data = problem.digits, problem.targets, problem.class_sizes, problem.loss_weights
    data, noise = [np.asarray(part) for part in data], np.random.default_rng(0)
    for chosen in weights:
        direction = {n: np.zeros_like(w) for n, w in weights.items()}
        direction[chosen] = noise.normal(size=weights[chosen].shape)
        expected = oracle.slope(lambda w: oracle.objective(w, *data, *masks), weights, direction)
        found = np.sum(np.asarray(gradient.weights[chosen]) * direction[chosen])
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6), chosen


class TestAdvance:
    def test_another_number_of_epochs_compiles_nothing(self, tiny):
        state, _ = advanced(*tiny, 2)
        counts = [jnp.asarray(n, jnp.int32) for n in (1, 5)]
        with compilations() as compiled:
            for n in counts:
                state, _ = train.advance(tiny[0], state, n)
        assert not compiled and int(state.epoch) == 8

    @pytest.mark.parametrize("chunks", [(3, 7), (1,) * 10, (0, 10)])
    def test_chunks_do_not_change_a_bit(self, tiny, chunks):
        assert_same_bits(advanced(*tiny, *chunks), advanced(*tiny, 10))

    def test_it_stops_where_the_loss_is_no_number(self, tiny):
        problem, state = tiny
        poisoned = eqx.tree_at(lambda s: s.model.W_U, state, replace_fn=lambda w: w * jnp.nan)
        stopped, loss = advanced(problem, poisoned, 10)
        assert np.isnan(loss) and int(stopped.epoch) == 1
        later = eqx.tree_at(lambda s: s.epoch, state, jnp.asarray(1, jnp.int32))
        assert advanced(problem, state, 1)[1] != advanced(problem, later, 1)[1]  # another mask


def test_everything_random_follows_from_the_seed():
    (a, first), (b, second), (c, third) = (beginning(TINY.replace(seed=s)) for s in (3, 3, 4))
    assert_same_bits((first, a.digits), (second, b.digits))
    assert (first.model.W_E != third.model.W_E).all() and (a.digits != c.digits).any()
    keys = [
        *train.root_keys(TINY.replace(seed=3)).values(),
        *train.root_keys(TINY.replace(seed=4)).values(),
    ]
    assert len({tuple(jax.random.key_data(k).tolist()) for k in keys}) == 6


class TestMeasure:
    def test_losses_and_accuracies_are_the_means_of_each_split(self, tiny):
        problem, state = tiny
        task = train.task_of(TINY)
        weights = {n: np.asarray(w) for n, w in state.model.weights.items()}
        logits = oracle.transformer(weights, task.digits)["logits"][:, 2]
        found, oracles = train.measure(problem, state), (oracle.task_losses, oracle.task_accuracies)
        for name, by_loops in zip(("loss", "accuracy"), oracles, strict=True):
            values = by_loops(logits, task.targets, task.class_sizes)
            means = [values[m].mean(0) for m in (task.train, task.validation, task.test)]
            np.testing.assert_allclose(found[name], means, rtol=1e-5)

    def test_an_empty_test_split_is_nan_and_nothing_else_is(self, tiny):
        members = tiny[0].split_members.at[2].set(False)
        problem = eqx.tree_at(lambda problem: problem.split_members, tiny[0], members)
        for name, value in train.measure(problem, tiny[1]).items():
            if "split" in probes.metric_axes(TINY)[name]:
                assert np.isnan(value[2]).all()
                value = value[:2]
            assert np.isfinite(value).all(), name

    def test_a_second_evaluation_compiles_nothing_and_changes_nothing(self, tiny):
        first = train.measure(*tiny)
        with compilations() as compiled:
            assert_same_bits(first, train.measure(*tiny))
        assert not compiled

    def test_it_records_what_was_asked_for(self):
        few = beginning(TINY.replace(probes=("zero_loss",)))
        found = eqx.filter_eval_shape(train.measure, *few)
        assert set(found) == {"loss", "accuracy", "zero_loss_share"}


class TestFit:
    def test_a_tiny_problem_is_memorised_and_recorded_at_every_tick_and_widely_at_fewer(self):
        larger = TINY.replace(p=11, d_model=32, mlp_ratio=4, dropout=0.0, learning_rate=1e-2)
        config = larger.replace(
            weight_decay=0.1, grokfast="none", epochs=300, eval_every=100, evals_per_octave=2,
            wide_per_octave=1, n_snapshots=2, probes=("residues",),
        )  # fmt: skip
        seen = [now for now in fitted(config) if now.metrics]
        assert [now.epoch for now in seen] == list(config.train.ticks)
        assert all(isinstance(v, np.ndarray) for v in seen[0].metrics.values())
        assert [now.epoch for now in seen if now.last] == [300]
        wide = [now.epoch for now in seen if "residue_share" in now.metrics]
        assert wide == list(config.train.wide_ticks) != [now.epoch for now in seen]
        end = seen[-1].metrics
        assert end["accuracy"][0].min() == 1 and end["loss"][0].max() < 0.1

    def test_a_run_ends_once_its_trained_tasks_have_been_settled(self, monkeypatch):
        config = TINY.replace(name="masked", masked=(2,), probes=("residues",), settled_share=0.25)
        config = config.replace(eval_every=4, n_snapshots=2)
        good = {epoch: 8 <= epoch < 13 or epoch >= 16 for epoch in range(41)}

        measure = train.measure

        def measured(problem, state, wide=False):
            if wide:
                return measure(problem, state, wide)
            accuracy = np.zeros((3, 2), np.float32)
            accuracy[1, 1:] = losses.SETTLED if good[int(state.epoch)] else 0.99
            return {"accuracy": jnp.asarray(accuracy), "loss": jnp.zeros((3, 2))}

        monkeypatch.setattr(train, "measure", measured)
        seen, since = {}, {}
        for now in fitted(config):
            if now.metrics is not None:
                seen[now.epoch], since[now.epoch] = now, int(now.state.settled_since)
        assert since[4] == -1 and since[8] == since[12] == 8 and since[13] == -1
        assert since[16] == since[27] == 16
        assert [epoch for epoch, now in seen.items() if now.last] == [27] == [max(seen)]
        assert "residue_share" in seen[27].metrics

    def test_stopped_once_settled_but_between_records_it_goes_on_to_the_same_end(self, monkeypatch):
        config = TINY.replace(probes=())

        def measured(problem, state, wide=False):
            if wide:
                return {}
            accuracy = jnp.full((3, 2), float(state.epoch >= 12))
            return {"accuracy": accuracy, "loss": jnp.zeros((3, 2))}

        monkeypatch.setattr(train, "measure", measured)
        monkeypatch.setattr(train, "next_chunk", lambda n, seconds: 1)
        *_, whole = fitted(config)
        stopped = next(now for now in fitted(config) if now.epoch == 22)
        since = int(stopped.state.settled_since)
        assert stopped.metrics is None and config.train.ends_at(22, since)
        *_, resumed = fitted(config, stopped.state)
        assert whole.last and resumed.last and resumed.epoch == whole.epoch == 23
        assert_same_bits(resumed.state, whole.state)
        assert list(fitted(config, resumed.state)) == []


@pytest.mark.thorough
def test_weights_masks_and_data_are_the_same_in_each_precision_and_losses_full():
    ended = {}
    for precision in ("float32", "bfloat16", "float64"):
        config = TINY.replace(precision=precision)
        with numerics(config.model):
            state, loss = advanced(*beginning(config), 5)
            kinds = {x.dtype for x in jax.tree.leaves((state, loss))}
            full = "float64" if precision == "float64" else "float32"
            assert {str(kind) for kind in kinds if jnp.issubdtype(kind, jnp.floating)} == {full}
            ended[precision] = jax.tree.map(np.asarray, (state.model.weights, loss))
    (weights, loss), (precise, exact) = ended["float32"], ended["float64"]
    for name, weight in precise.items():
        np.testing.assert_allclose(weights[name], weight, rtol=2e-3, atol=2e-5)
    assert float(loss) == pytest.approx(float(exact), rel=1e-5)
