import jax
import numpy as np
import pytest

from miiii_core.circuits import exam
from miiii_core.config import TaskConfig
from miiii_core.tasks import make_task


@pytest.fixture(scope="module")
def task():
    return make_task(TaskConfig(p=7, n_validation=10), jax.random.key(1))


def right_logits(task):
    """Logits that are right everywhere."""
    return np.concatenate(
        [np.eye(q)[t] for q, t in zip(task.class_sizes, task.targets.T, strict=True)], axis=1
    )


def test_what_is_left_is_counted_above_guessing(task):
    whole, rows = right_logits(task), np.arange(20)
    found = exam.make_exam(task, whole, rows)
    assert found.whole.tolist() == [1, 1, 1]
    for guess, answers in zip(found.guess, task.targets[rows].T, strict=True):
        assert guess == max(np.mean(answers == c) for c in range(5))
    changed = whole[rows].copy()
    changed[:10, :2] = changed[:10, 1::-1]  # half of the answers to n mod 2 are wrong now
    left = found.left(changed)
    assert left[0] == pytest.approx((0.5 - found.guess[0]) / (1 - found.guess[0]))
    assert left[1:].tolist() == [1, 1]


def test_a_constant_answer_leaves_nothing_and_a_task_with_nothing_cannot_lose(task):
    rows = np.arange(20)
    best = np.argmax(np.bincount(task.targets[rows, 0]))
    constant = np.tile(np.eye(2)[best], (20, 1))
    found = exam.make_exam(task, right_logits(task), rows)
    assert found.left_of(0, constant) == 0
    lost = right_logits(task)
    lost[:, :2] = np.eye(2)[best]
    assert exam.make_exam(task, lost, rows).left(lost[rows])[0] == 1


def test_not_a_number_is_never_right(task):
    found = exam.make_exam(task, right_logits(task), np.arange(20))
    assert found.left_of(1, np.full((20, 3), np.nan)) < 0


def test_own_others_and_random_of_a_table():
    left = np.array([[0.0, 1.0, 0.5], [0.8, 0.1, 1.0], [1.0, 0.6, 0.2]])
    controls = np.stack([np.full((3, 3), v) for v in (0.2, 0.9, 0.7)])
    found = exam.Selectivity(np.array([1, 2, 3]), left, controls)
    np.testing.assert_allclose(found.own, [0, 0.1, 0.2])
    np.testing.assert_allclose(found.others, [0.75, 0.9, 0.8])
    np.testing.assert_allclose(found.random_own, 0.7)
    assert exam.others_of(np.zeros((1, 1))).tolist() == [1]


def test_inputs_to_choose_by_and_to_score_by_do_not_meet(task):
    choosing, scoring = exam.choosing_rows(task), exam.scoring_rows(task)
    assert not set(choosing) & set(scoring)
    assert len(exam.scoring_rows(task, 3)) == 3


@pytest.mark.parametrize("shape, rows", [((49, 9), [1]), ((48, 10), [1]), ((49, 10), [])])
def test_logits_of_another_shape_and_no_rows_are_refused(task, shape, rows):
    with pytest.raises(ValueError, match=r"takes logits of shape \(49, 10\) and at least one row"):
        exam.make_exam(task, np.zeros(shape), np.array(rows, int))
