import jax
import jax.numpy as jnp
import numpy as np
import pytest

from miiii_core.circuits.ablation import score
from miiii_core.circuits.graded import _graded_masks, graded_ablation
from miiii_core.config import TaskConfig
from miiii_core.tasks import make_task

TASK = make_task(TaskConfig(name="nanda", p=5, n_validation=4), jax.random.key(0))
ORDER = np.array([3, 0, 5, 1, 4, 2])
READS = jnp.asarray(np.random.default_rng(0).normal(size=(6, 25, 5)), jnp.float32)


def ablate(removed):
    """A network whose units each add a table to the logits."""
    return jnp.einsum("u,unc->nc", 1 - removed.astype(jnp.float32), READS)


def test_each_dose_is_scored_as_if_alone():
    rows = np.array([0, 7, 9])
    graded = graded_ablation(
        lambda removed: ablate(removed)[rows], ORDER, [0, 1, 3], TASK, rows=rows, draws=20
    )
    for i, gone in enumerate(([], [3], [3, 0, 5])):
        expected = score(ablate(np.isin(np.arange(6), gone)), TASK, rows)
        np.testing.assert_allclose(graded.chosen.loss[i], expected.loss, rtol=1e-5)
        np.testing.assert_allclose(graded.chosen.accuracy[i], expected.accuracy, rtol=1e-5)
    assert graded.controls.loss.shape == (20, 3, 1)
    np.testing.assert_allclose(
        graded.controls.loss[:, 0], graded.chosen.loss[None, 0].repeat(20, 0)
    )


def test_controls_are_of_equal_size_and_drawn_from_the_others():
    masks = _graded_masks(ORDER, [1, 2, 3], 50, seed=0)
    assert (masks.sum(axis=2) == [1, 2, 3]).all()
    assert not (masks[1:] & masks[:1]).any()
    assert (masks[1:, 0].sum(axis=0)[ORDER[1:]] > 0).all()


def test_the_seed_decides_the_draws():
    first, again, other = (_graded_masks(ORDER, [2], 20, seed) for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize("doses, draws", [([4], 20), ([-1], 20), ([], 20), ([1], 0)])
def test_doses_that_leave_no_controls_are_refused(doses, draws):
    with pytest.raises(ValueError, match="doses from 0 to 3"):
        graded_ablation(ablate, ORDER, doses, TASK, draws=draws)


def test_an_order_that_misses_a_unit_is_refused():
    with pytest.raises(ValueError, match="each of its 3 units once"):
        graded_ablation(ablate, np.array([0, 1, 1]), [1], TASK)


def test_no_rows_and_logits_of_other_rows_are_refused():
    with pytest.raises(ValueError, match="no rows were given"):
        graded_ablation(ablate, ORDER, [1], TASK, rows=np.array([], int))
    with pytest.raises(ValueError, match=r"shape \(25, 5\); those of the rows have \(2, 5\)"):
        graded_ablation(ablate, ORDER, [1], TASK, rows=np.array([3, 4]))
