import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miiii_core.config import TaskConfig
from miiii_core.tasks import make_task, primes_below

FAMILIES = ["miiii", "nanda", "basis", "masked", "divisible"]
quick = settings(deadline=None, max_examples=25)


# Built inside the tests: a configuration's type checks draw from `random`.
experiments = st.fixed_dictionaries(
    {
        "name": st.sampled_from(FAMILIES),
        "p": st.sampled_from([5, 7, 11, 13]),
        "train_fraction": st.floats(0.1, 0.9),
        "n_validation": st.sampled_from([1, 5, 1000]),
        "shuffle": st.sampled_from(["joint", "per-task"]),
    }
).filter(lambda values: values["p"] >= 13 or values["name"] != "masked")


def task_with(seed=0, **values):
    return make_task(TaskConfig(**values), jax.random.key(seed))


def test_primes_below():
    assert primes_below(2) == ()
    assert primes_below(31) == (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)
    assert len(primes_below(113)) == 29
    assert sum(primes_below(113)) == 1480


@given(experiments, st.integers(0, 2**31 - 1))
@quick
def test_the_split_is_a_partition_of_the_right_sizes_and_depends_on_the_seed_only(values, seed):
    task = task_with(seed, **values)
    p, splits = values["p"], (task.train, task.validation, task.test)
    assert sorted(np.concatenate(splits)) == list(range(p * p))
    assert len(task.train) == round(values["train_fraction"] * p * p)
    assert len(task.validation) == min(values["n_validation"], p * p - len(task.train))
    assert min(len(task.train), len(task.validation)) > 0
    for row, inputs in zip(task.split_members, splits, strict=True):
        assert np.flatnonzero(row).tolist() == sorted(inputs.tolist())
    assert task.held_out.tolist() == sorted([*task.validation, *task.test])
    again, relative = task_with(seed, **values), task_with(seed, **values | {"name": "nanda"})
    np.testing.assert_array_equal(task.targets, again.targets)
    np.testing.assert_array_equal(task.train, again.train)
    np.testing.assert_array_equal(task.train, relative.train)


@given(experiments)
@quick
def test_rows_are_numbers_and_targets_are_in_range(values):
    task, p = task_with(**values), values["p"]
    np.testing.assert_array_equal(task.digits @ [1, p], np.arange(p * p))
    assert task.digits.min() == 0 and task.digits.max() == p - 1
    assert (task.targets >= 0).all() and (task.targets < np.array(task.class_sizes)).all()
    packed = [np.arange(task.n_classes)[own] for own in task.columns]
    assert np.concatenate(packed).tolist() == [*range(task.n_classes)]
    assert [own.stop - own.start for own in task.columns] == list(task.class_sizes)


@pytest.mark.parametrize("name", ["miiii", "nanda", "masked", "divisible"])
def test_targets_are_right(name):
    task = task_with(name=name, p=13)
    for n, answers in enumerate(task.targets):
        right = [int(n % q == 0) if name == "divisible" else n % q for q in task.moduli]
        assert answers.tolist() == ([(n % 13 + n // 13) % 13] if name == "nanda" else right)


@given(st.integers(0, 1000), st.sampled_from([11, 13]))
@quick
def test_basis_moves_whole_rows_jointly_and_each_column_by_itself_per_task(seed, p):
    honest, joint = task_with(seed, p=p), task_with(seed, name="basis", p=p)
    assert sorted(map(tuple, honest.targets)) == sorted(map(tuple, joint.targets))
    assert (honest.targets != joint.targets).any()
    alone = task_with(seed, name="basis", p=p, shuffle="per-task")
    np.testing.assert_array_equal(np.sort(honest.targets, 0), np.sort(alone.targets, 0))
    assert sorted(map(tuple, honest.targets)) != sorted(map(tuple, alone.targets))


@given(experiments)
@quick
def test_loss_weights_make_a_uniform_guess_cost_one(values):
    task = task_with(**values)
    at_chance = np.log(task.class_sizes)
    assert float(task.loss_weights @ at_chance) == pytest.approx(1, rel=1e-6)
    counted = task.loss_weights[task.loss_weights > 0] * at_chance[task.loss_weights > 0]
    np.testing.assert_allclose(counted, counted[0], rtol=1e-6)


def test_masked_tasks_weigh_nothing_and_leave_the_mean():
    task = task_with(name="masked", p=13, masked=(2, 7))
    shares = task.loss_weights * np.log(task.class_sizes)
    np.testing.assert_allclose(shares, [0, 1 / 3, 1 / 3, 0, 1 / 3], rtol=1e-6)


def test_grid_is_indexed_by_x0_then_x1():
    task = task_with(p=7)
    assert task.grid(task.digits)[3, 2].tolist() == [3, 2]
    assert task.grid(np.arange(49))[3, 2] == 3 + 7 * 2
