import jax
import numpy as np
import oracles_circuits as oracle
import pytest

from miiii_core.circuits import breaking, exam
from miiii_core.config import ModelConfig, TaskConfig
from miiii_core.network.model import Transformer
from miiii_core.tasks import make_task

ROWS = np.array([3, 1, 40, 8, 20, 33])


@pytest.fixture(scope="module")
def small():
    """A task, a random model, its activations, and plain weights."""
    task = make_task(TaskConfig(p=7, n_validation=10), jax.random.key(1))
    config = ModelConfig(d_model=8, n_heads=2, mlp_ratio=2)
    model = Transformer(config, p=7, n_tasks=3, n_classes=10, key=jax.random.key(2))
    return task, model, model.activations(task.digits), model.weights


@pytest.mark.parametrize("fill", ["mean", "zero"])
@pytest.mark.parametrize("removed", [[], [2], [0, 5, 9, 15], range(16)])
def test_a_set_taken_out_is_the_network_run_again_without_it(small, removed, fill):
    task, model, activations, weights = small
    put = {"mean": oracle.put_to_mean, "zero": oracle.put_to_zero}[fill]
    hidden = put(oracle.read_out(weights, task.digits)["neurons"], removed)
    expected = oracle.read_out(weights, task.digits, neurons=hidden)["logits"][ROWS]
    found = breaking.tail_of(activations, model, ROWS, fill).without(np.array(removed, int))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_evidence_is_the_fall_of_the_right_logit_when_a_neuron_goes(small):
    task, model, activations, _ = small
    tail, targets = breaking.tail_of(activations, model, ROWS), task.targets[ROWS]
    found = breaking.evidence(tail, targets, task.class_sizes)

    def mean_right(logits):
        parts = np.split(logits, np.cumsum(task.class_sizes)[:-1], axis=1)
        rows = np.arange(len(ROWS))
        return [(z[rows, y] - z.mean(axis=1)).mean() for z, y in zip(parts, targets.T, strict=True)]

    whole = np.array(mean_right(tail.logits))
    for neuron in range(16):
        fall = whole - mean_right(tail.without(np.array([neuron])))
        np.testing.assert_allclose(found[neuron], fall, rtol=1e-3, atol=1e-5)
    both = whole - mean_right(tail.without(np.array([2, 7])))
    np.testing.assert_allclose(found[[2, 7]].sum(axis=0), both, rtol=1e-3, atol=1e-5)


def test_shares_of_each_task_add_up_to_one():
    share = breaking.shares(np.array([[1.0, 0], [-3, 0]]))
    np.testing.assert_allclose(share, [[0.25, 0], [-0.75, 0]])


def two_tasks(copies):
    """Neurons that serve one of two tasks of two classes, so many copies of each; and some spare.

    Returns the tail and an exam on which the network is right.
    """
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 2, (40, 2))
    sign = 2.0 * targets - 1
    swing = np.concatenate([np.repeat(sign, copies, axis=1), generator.normal(size=(40, 4))], 1)
    writes = np.zeros((2 * copies + 4, 4))
    writes[:copies, :2], writes[copies : 2 * copies, 2:] = [-1, 1], [-1, 1]
    tail = breaking.Tail(swing, writes, swing @ writes)
    guess = targets.mean(axis=0).clip(0.5)
    guess = np.maximum(guess, 1 - targets.mean(axis=0))
    return tail, exam.Exam(np.arange(40), targets, (2, 2), guess, np.ones(2))


def test_the_neurons_of_a_task_are_found_and_no_others():
    tail, test = two_tasks(copies=2)
    share = breaking.shares(breaking.evidence(tail, test.targets, (2, 2)))
    sets = [breaking.breaking_set(tail, test, share, i) for i in (0, 1)]
    assert [sorted(s) for s in sets] == [[0, 1], [2, 3]]
    found = breaking.selectivity(tail, test, sets, draws=5)
    assert (found.own <= 0.1).all() and found.others.tolist() == [1, 1]
    assert found.controls.shape == (5, 2, 2) and found.sizes.tolist() == [2, 2]


def test_a_task_that_half_of_the_neurons_cannot_break_costs_half_of_them():
    tail, test = two_tasks(copies=1)
    order = np.array([2, 3, 4, 0, 1, 5])
    assert breaking.smallest_set(tail, test, 1, order).tolist() == [2, 3, 4]


@pytest.mark.parametrize("needed", [1, 2, 9, 10, 64, 95, 100])
def test_the_smallest_set_has_no_neuron_too_many(needed):
    """A task that the first so many of 200 neurons carry, each a little: all must go."""
    targets = np.tile([[0], [1]], (10, 1))
    swing = np.zeros((20, 200))
    swing[:, :needed] = 2.0 * targets - 1
    swing[:, needed - 1] *= 1.5 * needed  # until the last of them goes the answers are right
    writes = np.tile([-1.0, 1.0], (200, 1))
    tail = breaking.Tail(swing, writes, swing @ writes)
    test = exam.Exam(np.arange(20), targets, (2,), np.array([0.5]), np.ones(1))
    found = breaking.smallest_set(tail, test, 0, np.arange(200))
    assert found.tolist() == list(range(needed))


def test_an_order_that_does_not_name_each_neuron_once_is_refused():
    tail, test = two_tasks(copies=1)
    for order in ([0, 1, 2], [0, 1, 2, 3, 4, 4], [1, 2, 3, 4, 5, 6]):
        with pytest.raises(ValueError, match="name each of two or more neurons once, 0 to 5"):
            breaking.smallest_set(tail, test, 0, np.array(order))


def test_evidence_of_other_rows_or_classes_is_refused():
    tail, test = two_tasks(copies=1)
    for targets, sizes in ((test.targets[1:], (2, 2)), (test.targets, (2, 3))):
        with pytest.raises(ValueError, match="the tail has 40 rows and 4 classes"):
            breaking.evidence(tail, targets, sizes)


def test_a_set_for_each_task_is_asked_for():
    tail, test = two_tasks(copies=1)
    with pytest.raises(ValueError, match="1 sets were given for 2 tasks"):
        breaking.selectivity(tail, test, [np.array([0])], draws=2)


def test_an_unknown_fill_is_refused(small):
    _, model, activations, _ = small
    with pytest.raises(ValueError, match="'median' will not do"):
        breaking.tail_of(activations, model, ROWS, "median")


def test_controls_are_drawn_from_what_is_left():
    chosen = np.array([1, 4, 5])
    drawn = breaking.random_sets(chosen, 8, 20, np.random.default_rng(0))
    assert drawn.shape == (20, 3) and not np.isin(drawn, chosen).any()
    assert all(len(set(row)) == 3 for row in drawn)


@pytest.mark.parametrize("size, draws", [(5, 20), (2, 0)])
def test_controls_that_cannot_be_drawn_are_refused(size, draws):
    with pytest.raises(ValueError, match="of half of the units at most"):
        breaking.random_sets(np.arange(size), 8, draws, np.random.default_rng(0))


@pytest.mark.parametrize("rows", [[], [49], [-1]])
def test_rows_that_are_no_inputs_are_refused(small, rows):
    _, model, activations, _ = small
    with pytest.raises(ValueError, match="give one or more of the inputs 0 to 48"):
        breaking.tail_of(activations, model, np.array(rows, int))
