import jax
import numpy as np
import pytest

from miiii_core.circuits import formula
from miiii_core.config import TaskConfig
from miiii_core.tasks import make_task

TASK = make_task(TaskConfig(p=11, n_validation=20), jax.random.key(0))
N = np.arange(121)


def planted(k=1, noise=0.0):
    """Logits cos(2πk(n - c)/q) of every task, and noise."""
    parts = [np.cos(2 * np.pi * k * (N[:, None] - np.arange(q)) / q) for q in TASK.moduli]
    logits = np.concatenate(parts, axis=1)
    return logits + noise * np.random.default_rng(0).normal(size=logits.shape)


def test_a_planted_cosine_is_fitted_used_and_spoken():
    for found in formula.fit_formulas(planted(), TASK):
        assert found.used.tolist() == [1]
        assert found.cos[0] == pytest.approx(1, abs=0.02)
        assert formula.used_share(found) == pytest.approx(1, abs=0.03)
    spoken = formula.formula_logits(formula.fit_formulas(planted(), TASK), N)
    np.testing.assert_allclose(spoken, planted(), atol=0.03)


def test_coefficients_are_those_of_dense_least_squares():
    logits = planted(noise=0.7)
    for found, start in zip(formula.fit_formulas(logits, TASK), TASK.offsets, strict=True):
        q = found.modulus
        own = logits[:, start : start + q] - logits[:, start : start + q].mean(axis=0)
        k = np.arange(1, q // 2 + 1)
        gap = 2 * np.pi * (N[:, None] - np.arange(q)).ravel()[:, None] * k / q
        dense = np.linalg.lstsq(np.cos(gap), own.ravel(), rcond=None)[0]
        np.testing.assert_allclose(found.cos, dense, atol=1e-9)
        fit = np.cos(gap) @ dense
        assert found.cos_share.sum() == pytest.approx((fit @ fit) / (own**2).sum())


def test_formulas_of_some_inputs_are_of_these_alone():
    rows, logits = np.array([3, 8, 20, 21, 50, 77, 90, 120]), planted(noise=0.7)
    elsewhere = np.delete(N, rows)
    spoiled = logits.copy()
    spoiled[elsewhere] += 5 * np.random.default_rng(1).normal(size=(len(elsewhere), 17))
    for one, other in zip(
        formula.fit_formulas(logits, TASK, rows),
        formula.fit_formulas(spoiled, TASK, rows),
        strict=True,
    ):
        np.testing.assert_array_equal(one.cos, other.cos)
        q = one.modulus
        own = logits[rows, TASK.offsets[TASK.moduli.index(q)] :][:, :q]
        gap = 2 * np.pi * (rows[:, None] - np.arange(q)).ravel()[:, None] * np.arange(1, q // 2 + 1)
        dense = np.linalg.lstsq(np.cos(gap / q), (own - own.mean(axis=0)).ravel(), rcond=None)[0]
        np.testing.assert_allclose(one.cos, dense, atol=1e-9)


@pytest.mark.parametrize("i, ks", [(0, [1]), (1, [1]), (3, [1, 3]), (3, [1, 2, 3])])
def test_kept_and_left_are_those_of_dense_least_squares_on_other_inputs(i, ks):
    q, start = TASK.moduli[i], TASK.offsets[i]
    own = planted(noise=0.5)[:, start : start + q]
    fitted, scored = np.split(np.random.default_rng(4).permutation(N), [60])
    parts = formula.parts_by_waves(own, ks, fitted, scored)
    angles = 2 * np.pi * np.outer(N, ks) / q
    columns = np.hstack([np.ones((121, 1)), np.cos(angles), np.sin(angles)])
    weights = np.linalg.lstsq(columns[fitted], own[fitted], rcond=None)[0]
    middle = columns[fitted].mean(axis=0)
    along = (columns[scored] - middle)[:, 1:] @ weights[1:]
    np.testing.assert_allclose(parts.left, own[scored] - along, atol=1e-9)
    np.testing.assert_allclose(parts.kept, own[fitted].mean(axis=0) + along, atol=1e-9)


def test_a_network_of_cosines_is_the_formula_and_needs_its_waves():
    found = formula.trial(planted(noise=0.01), TASK, np.random.default_rng(0))
    for accuracies in (found.network, found.formula, found.kept):
        np.testing.assert_allclose(accuracies, 1, rtol=1e-6)
    assert (found.explained > 0.95).all()
    assert (found.left < found.guess + 0.35).all()
    # 2 and 3 have one wave each, and no other.
    assert np.isnan(found.unused[:, :2]).all()
    assert found.unused.shape == (formula.DRAWS, 4) and (found.unused[:, 2:] == 1).all()


def test_what_is_known_by_heart_is_no_formula():
    """Right on the inputs trained on, noise elsewhere: nothing can be predicted."""
    logits = np.random.default_rng(2).normal(size=(121, 17))
    known = np.zeros_like(logits)
    for start, answers in zip(TASK.offsets, TASK.targets.T, strict=True):
        known[N, start + answers] = 50
    logits[TASK.train] += known[TASK.train]
    found = formula.trial(logits, TASK, np.random.default_rng(0))
    assert (found.explained < 0.1).all()
    assert found.network.mean() < 0.6


def test_the_control_can_fail():
    """A weak wave that sharpens the answer is not said to be used, and yet is missed."""
    logits = planted(1) + 0.2 * planted(3, noise=1.5)
    found = formula.trial(logits, TASK, np.random.default_rng(0))
    assert found.formulas[3].used.tolist() == [1]
    assert found.unused[:, 3].min() < found.network[3] - 0.1


def test_guess_and_accuracies_are_of_the_same_inputs():
    held_out = np.concatenate([TASK.validation, TASK.test])
    scored, found = (
        held_out[1::2],
        formula.trial(planted(noise=0.8), TASK, np.random.default_rng(0)),
    )
    for i, (start, q) in enumerate(zip(TASK.offsets, TASK.moduli, strict=True)):
        own, right = planted(noise=0.8)[scored, start : start + q], TASK.targets[scored, i]
        assert found.network[i] == pytest.approx((own.argmax(axis=1) == right).mean())
        assert found.guess[i] == pytest.approx(max(np.mean(right == c) for c in range(q)))


def test_controls_are_as_many_waves_that_the_task_does_not_use():
    blank = np.zeros(8)
    one = formula.Formula(17, blank, blank, blank, np.array([3, 8, 1]))
    drawn = [set(formula.unused_waves(one, np.random.default_rng(s)).tolist()) for s in range(40)]
    assert all(len(ks) == 3 for ks in drawn) and set.union(*drawn) == {2, 4, 5, 6, 7}
    full = one._replace(used=np.array([3, 8, 1, 2, 7]))
    assert formula.unused_waves(full, np.random.default_rng(0)) is None


def test_bad_input_is_refused():
    addition = make_task(TaskConfig(name="nanda", p=11, n_validation=20), jax.random.key(0))
    with pytest.raises(ValueError, match="T_nanda"):
        formula.fit_formulas(np.zeros((121, 11)), addition)
    with pytest.raises(ValueError, match="take 1 to 3"):
        formula.task_waves(7, [4], N)
    with pytest.raises(ValueError, match="4 inputs cannot tell 4 waves and a constant apart"):
        formula.parts_by_waves(np.zeros((121, 5)), [1, 2], N[:4], N)
    with pytest.raises(ValueError, match="no rows were given to fit on"):
        formula.fit_formulas(planted(), TASK, N[:0])
    with pytest.raises(ValueError, match="0 draws were asked for"):
        formula.trial(planted(), TASK, np.random.default_rng(0), draws=0)
