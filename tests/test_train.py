import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles as oracle
import pytest
from counting import compilations
from hypothesis import given, settings
from hypothesis import strategies as st

from miiii_core.config import Config, TrainConfig
from miiii_core.training import probes, schedule, train

TINY = Config().replace(
    p=5,
    n_validation=6,
    d_model=8,
    n_heads=2,
    mlp_ratio=2,
    dropout=0.3,
    learning_rate=1e-3,
    epochs=40,
)
LEARNS = TINY.replace(
    p=11, train_fraction=0.5, d_model=32, mlp_ratio=4, dropout=0.0, learning_rate=1e-2,
    weight_decay=0.1, grokfast="none", epochs=300, eval_every=300, evals_per_octave=1,
    n_snapshots=0, probes=(),
)  # fmt: skip


def beginning(config=TINY):
    task = train.task_of(config)
    return train.Problem.of(config, task), train.initial_state(config, task)


def advanced(problem, state, *chunks):
    state = jax.tree.map(jnp.copy, state)
    for n in chunks:
        state, loss = train.advance(problem, state, jnp.asarray(n, jnp.int32))
    return state, loss


def assert_same_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def tiny():
    return beginning()


class TestGradient:
    def test_the_loss_is_the_one_by_loops(self):
        problem, state = beginning(TINY.replace(dropout=0.0))
        expected = oracle.objective(*self.by_hand(problem, state))
        found = train.objective(state.model, problem, jax.random.key(0))
        assert float(found) == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize("name", ["miiii", "masked"])
    def test_the_gradient_is_the_slope_of_the_loss_by_loops(self, name):
        config = TINY.replace(name=name, masked=(2,), dropout=0.3)
        problem, state = beginning(config)
        key = jax.random.key(5)
        gradient = eqx.filter_jit(jax.grad(train.objective))(state.model, problem, key)
        masks = [
            np.repeat(state.model._drop(jnp.ones((len(problem.digits), 8)), k)[:, None], 3, axis=1)
            for k in jax.random.split(key)
        ]
        weights, *data = self.by_hand(problem, state)
        noise = np.random.default_rng(0)
        for chosen in weights:
            direction = {n: np.zeros_like(w) for n, w in weights.items()}
            direction[chosen] = noise.normal(size=weights[chosen].shape)
            expected = oracle.slope(
                lambda w: oracle.objective(w, *data, *masks), weights, direction
            )
            found = np.sum(np.asarray(gradient.weights[chosen]) * direction[chosen])
            assert found == pytest.approx(expected, rel=1e-4, abs=1e-6), chosen

    def by_hand(self, problem, state):
        weights = {n: np.asarray(w, np.float64) for n, w in state.model.weights.items()}
        data = problem.digits, problem.targets, problem.class_sizes, problem.loss_weights
        return weights, *(np.asarray(part) for part in data)


class TestAdvance:
    def test_another_number_of_epochs_compiles_nothing(self, tiny):
        problem, state = tiny
        state, _ = advanced(problem, state, 2)
        counts = [jnp.asarray(n, jnp.int32) for n in (1, 5)]
        with compilations() as compiled:
            for n in counts:
                state, _ = train.advance(problem, state, n)
        assert not compiled
        assert int(state.epoch) == 8

    @pytest.mark.parametrize("chunks", [(3, 7), (1,) * 10, (0, 10)])
    def test_chunks_do_not_change_a_bit(self, tiny, chunks):
        whole, whole_loss = advanced(*tiny, 10)
        parts, loss = advanced(*tiny, *chunks)
        assert_same_bits(parts, whole)
        assert loss == whole_loss

    def test_a_state_that_went_through_the_host_goes_on_to_the_bit(self, tiny):
        problem, state = tiny
        halfway, _ = advanced(problem, state, 6)
        restored = jax.tree.map(lambda x: jnp.array(np.asarray(x)), halfway)
        again, _ = advanced(beginning()[0], restored, 4)
        assert_same_bits(again, advanced(problem, state, 10)[0])

    def test_a_step_sends_the_gradient_through_the_optimiser(self, tiny):
        problem, state = tiny
        key = jax.random.fold_in(problem.key, 0)
        gradient = eqx.filter_jit(jax.grad(train.objective))(state.model, problem, key)
        after, _ = advanced(problem, state, 1)
        optim = TINY.optim
        for name, g in gradient.weights.items():
            by_hand = oracle.AdamW(
                state.model.weights[name],
                optim.learning_rate,
                optim.weight_decay,
                optim.beta1,
                optim.beta2,
                optim.eps,
                slow=lambda gradients: oracle.ema_filter(gradients, 0.5, 0.98, "zero"),
            )
            by_hand.step(g)
            np.testing.assert_allclose(after.model.weights[name], by_hand.weight, atol=1e-5)

    def test_it_stops_where_the_loss_is_no_number(self, tiny):
        problem, state = tiny
        poisoned = eqx.tree_at(lambda s: s.model.W_U, state, replace_fn=lambda w: w * jnp.nan)
        stopped, loss = advanced(problem, poisoned, 10)
        assert np.isnan(loss)
        assert int(stopped.epoch) == 1

    def test_the_mask_of_a_step_depends_on_the_epoch(self, tiny):
        problem, state = tiny
        later = eqx.tree_at(lambda s: s.epoch, state, jnp.asarray(1, jnp.int32))
        assert advanced(problem, state, 1)[1] != advanced(problem, later, 1)[1]


class TestSeeds:
    def test_everything_random_follows_from_the_seed(self):
        (a, first), (b, second), (c, third) = (beginning(TINY.replace(seed=s)) for s in (3, 3, 4))
        assert_same_bits(first, second)
        assert (first.model.W_E != third.model.W_E).all()
        assert (np.asarray(a.digits) != np.asarray(c.digits)).any()
        assert (jax.random.key_data(a.key) != jax.random.key_data(c.key)).any()

    def test_split_weights_and_dropout_are_drawn_apart(self):
        keys = [tuple(jax.random.key_data(k).tolist()) for k in train.root_keys(0).values()]
        assert len(set(keys)) == 3


train_configs = st.fixed_dictionaries(
    {
        "epochs": st.integers(1, 10**6),
        "eval_every": st.integers(50, 10**6),
        "evals_per_octave": st.integers(1, 16),
        "n_snapshots": st.integers(0, 50),
    }
)


class TestTicks:
    @given(train_configs)
    @settings(deadline=None, max_examples=50)
    def test_ticks_are_ascending_and_hold_all_that_is_asked_for(self, values):
        config = TrainConfig(**values)
        ticks, snapshots = schedule.tick_epochs(config), schedule.snapshot_epochs(config)
        assert list(ticks) == sorted(set(ticks))
        assert (ticks[0], ticks[-1]) == (0, config.epochs)
        assert set(range(0, config.epochs, config.eval_every)) <= set(ticks)
        assert set(snapshots) <= set(ticks)

    @given(train_configs)
    @settings(deadline=None, max_examples=50)
    def test_ticks_are_dense_early(self, values):
        ticks = np.array(schedule.tick_epochs(TrainConfig(**values))[1:])
        widest = 2 ** (1 / values["evals_per_octave"])
        assert np.all(ticks[1:] <= np.ceil(ticks[:-1] * widest) + 1)

    @given(train_configs)
    @settings(deadline=None, max_examples=50)
    def test_snapshots_run_from_the_first_epoch_to_the_last(self, values):
        snapshots = schedule.snapshot_epochs(TrainConfig(**values))
        assert len(snapshots) <= max(values["n_snapshots"], 0) + 1
        if values["n_snapshots"] > 1:
            assert (snapshots[0], snapshots[-1]) == (1, values["epochs"])
        if values["n_snapshots"] == 0:
            assert snapshots == ()


class TestMeasure:
    def test_losses_and_accuracies_are_the_means_of_each_split(self, tiny):
        problem, state = tiny
        task = train.task_of(TINY)
        weights = {n: np.asarray(w) for n, w in state.model.weights.items()}
        logits = oracle.transformer(weights, task.digits)["logits"][:, 2]
        losses = oracle.task_losses(logits, task.targets, task.class_sizes)
        right = oracle.task_accuracies(logits, task.targets, task.class_sizes)
        found = train.measure(problem, state)
        for row, members in enumerate((task.train, task.validation, task.test)):
            np.testing.assert_allclose(found["loss"][row], losses[members].mean(0), rtol=1e-5)
            np.testing.assert_allclose(found["accuracy"][row], right[members].mean(0), rtol=1e-5)

    def test_an_empty_test_split_is_nan_and_nothing_else_is(self):
        config = TINY.replace(n_validation=1000)
        found = train.measure(*beginning(config))
        for name, value in found.items():
            axes = probes.metric_axes(config)[name][1:]
            if "split" in axes:
                assert np.isnan(value[2]).all()
                value = value[:2]
            assert np.isfinite(value).all(), name

    def test_a_second_evaluation_compiles_nothing_and_changes_nothing(self, tiny):
        problem, state = tiny
        first = train.measure(problem, state)
        with compilations() as compiled:
            second = train.measure(problem, state)
        assert not compiled
        assert_same_bits(first, second)

    def test_it_records_what_was_asked_for(self):
        config = TINY.replace(probes=("zero_loss",))
        found = train.measure(*beginning(config))
        assert set(found) | {"epoch", "wide_epoch"} == set(probes.metric_axes(config))
        assert set(found) == {"loss", "accuracy", "zero_loss_share"}

    def test_wide_probes_are_measured_apart(self, tiny):
        narrow, wide = train.measure(*tiny), train.measure_wide(*tiny)
        assert not set(narrow) & set(wide)
        axes = probes.metric_axes(tiny[0].config)
        assert set(axes) == {"epoch", "wide_epoch", *narrow, *wide}
        assert {axes[name][0] for name in narrow} == {"epoch"}
        assert {axes[name][0] for name in wide} == {"wide_epoch"}


class TestFit:
    def test_it_records_at_every_tick_and_ends_at_the_last_epoch(self):
        config = TINY.replace(
            epochs=9, eval_every=4, n_snapshots=2, evals_per_octave=1, wide_per_octave=1, probes=()
        )
        task = train.task_of(config)
        seen = list(train.fit(config, task, train.initial_state(config, task)))
        recorded = [now.epoch for now in seen if now.metrics is not None]
        assert recorded == list(schedule.tick_epochs(config.train)) == [0, 1, 2, 4, 8, 9]
        assert all(isinstance(v, np.ndarray) for v in seen[0].metrics.values())
        assert [now.epoch for now in seen if now.last] == [9]

    def test_wide_records_lie_at_fewer_ticks(self):
        config = TINY.replace(epochs=40, eval_every=4, n_snapshots=3, probes=("tables",))
        task = train.task_of(config)
        seen = train.fit(config, task, train.initial_state(config, task))
        wide = [now.epoch for now in seen if now.metrics and "neuron_base" in now.metrics]
        assert wide == list(schedule.wide_epochs(config.train))
        assert set(wide) < set(schedule.tick_epochs(config.train))

    @pytest.mark.parametrize("share, end", [(0.25, 27), (0.0, 40)])
    def test_a_run_ends_once_its_trained_tasks_have_been_settled(self, monkeypatch, share, end):
        config = TINY.replace(
            name="masked", masked=(2,), eval_every=4, n_snapshots=2, settled_share=share,
            probes=("tables",),
        )  # fmt: skip
        good = {epoch: 8 <= epoch < 13 or epoch >= 16 for epoch in range(41)}

        def measured(problem, state):
            accuracy = np.zeros((3, 2), np.float32)
            accuracy[1, 1:] = schedule.SETTLED if good[int(state.epoch)] else 0.99
            return {"accuracy": jnp.asarray(accuracy), "loss": jnp.zeros((3, 2))}

        monkeypatch.setattr(train, "measure", measured)
        task = train.task_of(config)
        since, last, wide = {}, [], set()
        for now in train.fit(config, task, train.initial_state(config, task)):
            if now.metrics is not None:
                since[now.epoch] = int(now.state.settled_since)
                last += [now.epoch] * now.last
                wide |= {now.epoch} if "neuron_base" in now.metrics else set()
        assert since[4] == -1 and since[8] == since[12] == 8 and since[13] == -1
        assert since[16] == since[end] == 16
        assert last == [end] == [max(since)] and end in wide

    def test_a_settled_state_is_not_trained_on(self):
        config = TINY.replace(probes=())
        task = train.task_of(config)
        state = dataclasses.replace(
            train.initial_state(config, task),
            epoch=jnp.asarray(25, jnp.int32),
            settled_since=jnp.asarray(10, jnp.int32),
        )
        assert 25 in schedule.tick_epochs(config.train)
        assert list(train.fit(config, task, state)) == []

    def test_stopped_once_settled_but_between_records_it_goes_on_to_the_same_end(self, monkeypatch):
        config = TINY.replace(probes=())

        def measured(problem, state):
            accuracy = jnp.full((3, 2), float(state.epoch >= 12))
            return {"accuracy": accuracy, "loss": jnp.zeros((3, 2))}

        monkeypatch.setattr(train, "measure", measured)
        monkeypatch.setattr(train, "next_chunk", lambda n, seconds: 1)
        task = train.task_of(config)
        *_, whole = train.fit(config, task, train.initial_state(config, task))
        some = train.fit(config, task, train.initial_state(config, task))
        stopped = next(now for now in some if now.epoch == 22)
        since = int(stopped.state.settled_since)
        assert stopped.metrics is None and schedule.is_settled(config.train, 22, since)
        *_, resumed = train.fit(config, task, stopped.state)
        assert whole.last and resumed.last and resumed.epoch == whole.epoch == 23
        assert_same_bits(resumed.state, whole.state)

    def test_a_loss_that_is_no_number_ends_training_and_names_the_epoch(self):
        config = TINY.replace(probes=(), evals_per_octave=1, eval_every=40)
        task = train.task_of(config)
        state = train.initial_state(config, task)
        seen = []
        with pytest.raises(train.TrainingDiverged, match="became nan at epoch 2"):
            for now in train.fit(config, task, state):
                seen.append(now.epoch)
                if now.epoch == 2:
                    # The generator still holds this state: poison it where it lies.
                    object.__setattr__(now.state.model, "W_U", now.state.model.W_U * jnp.nan)
        assert max(seen) == 2

    def test_a_rate_that_is_too_large_diverges(self):
        config = TINY.replace(learning_rate=1e30, probes=())
        task = train.task_of(config)
        with pytest.raises(train.TrainingDiverged, match=r"(nan|inf) at epoch \d+"):
            list(train.fit(config, task, train.initial_state(config, task)))

    @given(st.integers(1, 10**6), st.floats(0, 100))
    @settings(deadline=None)
    def test_chunks_grow_at_most_fourfold_and_never_vanish(self, n, seconds):
        assert 1 <= schedule.next_chunk(n, seconds) <= 4 * n
        if seconds > 2:
            assert schedule.next_chunk(n, seconds) <= max(1, n / 2)


@pytest.mark.parametrize("name", ["miiii", "nanda"])
def test_a_tiny_problem_is_memorised(name):
    config = LEARNS.replace(name=name)
    task = train.task_of(config)
    *_, end = train.fit(config, task, train.initial_state(config, task))
    assert end.metrics["accuracy"][0].min() == 1
    assert end.metrics["loss"][0].max() < 0.1


@pytest.mark.parametrize(
    "precision, kept",
    [("float32", "float32"), ("bfloat16", "float32"), ("float64", "float64")],
)
def test_weights_losses_and_optimiser_state_stay_in_full_precision(precision, kept):
    config = TINY.replace(precision=precision)
    with train.numerics(config):
        state, loss = advanced(*beginning(config), 1)
        floats = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating)]
    assert {str(x.dtype) for x in [*floats, loss]} == {kept}


def test_float64_starts_from_the_same_weights_masks_and_data():
    single, double = (TINY.replace(dropout=0.3, precision=p) for p in ("float32", "float64"))
    with train.numerics(single):
        expected, loss = advanced(*beginning(single), 5)
    with train.numerics(double):
        found, precise = advanced(*beginning(double), 5)
        for name, weight in found.model.weights.items():
            np.testing.assert_allclose(expected.model.weights[name], weight, rtol=2e-3, atol=2e-5)
    assert float(loss) == pytest.approx(float(precise), rel=1e-5)


def test_float64_outside_its_numerics_is_refused():
    with pytest.raises(ValueError, match="64-bit types, which are off; .* or choose float32"):
        beginning(TINY.replace(precision="float64"))


def test_a_problem_holds_the_training_rows_only():
    problem, _ = beginning()
    task = train.task_of(TINY)
    np.testing.assert_array_equal(problem.digits, task.digits[task.train])
    np.testing.assert_array_equal(problem.targets, task.targets[task.train])
    assert dataclasses.is_dataclass(problem)
