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
    spoken = formula.formula_logits(formula.fit_formulas(planted(), TASK), 121)
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


def test_kept_and_left_are_projections_by_least_squares():
    logits = planted(noise=0.5)
    waves = [(q, [1]) for q in TASK.moduli]
    parts = formula.parts_by_waves(logits, TASK, waves)
    start, q = TASK.offsets[-1], TASK.moduli[-1]
    own = logits[:, start:]
    angle = 2 * np.pi * N / q
    basis = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    basis -= basis.mean(axis=0)
    along = basis @ np.linalg.lstsq(basis, own, rcond=None)[0]
    np.testing.assert_allclose(parts.kept[:, start:], own.mean(axis=0) + along, atol=1e-9)
    np.testing.assert_allclose(parts.left[:, start:], own - along, atol=1e-9)


def test_a_network_of_cosines_is_the_formula_and_needs_its_waves():
    found = formula.trial(planted(noise=0.01), TASK, np.random.default_rng(0))
    for accuracies in (found.network, found.formula, found.kept):
        np.testing.assert_allclose(accuracies, 1, rtol=1e-6)
    assert (found.left < found.guess + 0.35).all()
    assert (found.others > 0.9).all()


def test_controls_take_as_many_waves_of_another_task():
    formulas = formula.fit_formulas(planted(noise=1.0), TASK)
    for mine, (q, ks) in zip(
        formulas, formula.other_waves(formulas, np.random.default_rng(0)), strict=True
    ):
        assert q != mine.modulus and 1 <= min(ks) and max(ks) <= q // 2
        assert len(set(ks.tolist())) == len(ks) <= len(mine.used)


def test_bad_input_is_refused():
    addition = make_task(TaskConfig(name="nanda", p=11, n_validation=20), jax.random.key(0))
    with pytest.raises(ValueError, match="T_nanda"):
        formula.fit_formulas(np.zeros((121, 11)), addition)
    with pytest.raises(ValueError, match="take 1 to 3"):
        formula.task_waves(7, [4], 121)
    with pytest.raises(ValueError, match="waves for 1 tasks"):
        formula.parts_by_waves(planted(), TASK, [(2, [1])])
