import jax
import numpy as np
import pytest

from miiii_core.circuits import rules
from miiii_core.config import ModelConfig, TaskConfig
from miiii_core.network.model import Transformer
from miiii_core.tasks import make_task


def test_logits_are_folded_by_how_far_a_class_is_from_the_answer():
    generator = np.random.default_rng(0)
    logits, answers = generator.normal(size=(6, 5)), generator.integers(0, 12, 6)
    sums = np.zeros(5)
    for row, answer in zip(logits, answers, strict=True):
        for c, value in enumerate(row):
            sums[(answer - c) % 5] += value
    np.testing.assert_allclose(rules.folded(logits, answers), sums)


SIZES = (2, 5)


def made(n=60, noise=0.0, seed=0):
    """Answers, a table g for each task, and logits that are it plus noise and a bias."""
    generator = np.random.default_rng(seed)
    targets = np.stack([generator.integers(0, q, n) for q in SIZES], axis=1)
    tables = [generator.normal(size=q) for q in SIZES]
    tables = [g - g.mean() for g in tables]
    logits = [
        np.array([[g[(y - c) % q] for c in range(q)] for y in own])
        for g, q, own in zip(tables, SIZES, targets.T, strict=True)
    ]
    logits = np.concatenate(logits, axis=1)
    return targets, np.concatenate(tables), logits + noise * generator.normal(size=logits.shape)


def test_the_rule_is_a_mean_over_inputs_and_classes_by_loops():
    targets, _, logits = made(noise=1.0)
    rule = rules.fit_rule(logits, targets, SIZES)
    centred = logits - logits.mean(axis=0)
    expected = np.zeros(5)
    for n, y in enumerate(targets[:, 1]):
        for c in range(5):
            expected[(y - c) % 5] += centred[n, 2 + c] / len(logits)
    np.testing.assert_allclose(rule.scores[2:], expected - expected.mean(), atol=1e-12)
    np.testing.assert_allclose(rule.bias, logits.mean(axis=0))


def test_a_rule_over_all_answers_alike_is_found_and_taken_out_whole():
    targets = np.stack([np.arange(20) % q for q in SIZES], axis=1)
    g = np.array([1.0, -1.0, 2, 0.5, -0.5, -1, -1])
    logits = np.array([[g[(a - c) % 2] for c in range(2)] + [g[2 + (b - c) % 5] for c in range(5)]
                       for a, b in targets])  # fmt: skip
    rule = rules.fit_rule(logits, targets, SIZES)
    np.testing.assert_allclose(rule.scores, g, atol=1e-12)
    np.testing.assert_allclose(rules.only_rule(rule, targets), logits, atol=1e-12)
    np.testing.assert_allclose(rules.without_rule(logits, rule, targets), 0, atol=1e-12)


def test_noise_has_next_to_no_rule():
    targets, _, logits = made(n=4000)
    logits = np.random.default_rng(3).normal(size=logits.shape)
    assert np.abs(rules.fit_rule(logits, targets, SIZES).scores).max() < 0.1


def test_scores_of_a_network_are_those_of_its_parts():
    task = make_task(TaskConfig(p=7, n_validation=10), jax.random.key(1))
    model = Transformer(
        ModelConfig(d_model=8, n_heads=2, mlp_ratio=2),
        p=7, n_tasks=3, n_classes=10, key=jax.random.key(2),
    )  # fmt: skip
    found = rules.score_rule(model, task)
    fitted, held = rules.halves(np.concatenate([task.validation, task.test]))
    logits = np.asarray(model.activations(task.digits).logits)
    rule = rules.fit_rule(logits[fitted], task.targets[fitted], task.class_sizes)
    for scores, z in (
        (found.whole, logits[held]),
        (found.only, rules.only_rule(rule, task.targets[held])),
        (found.without, rules.without_rule(logits[held], rule, task.targets[held])),
    ):
        right = z[:, 5:].argmax(axis=1) == task.targets[held, 2]
        assert scores.accuracy[2] == pytest.approx(right.mean(), abs=1e-6)
    assert found.guess[0] == max(np.mean(task.targets[held, 0] == c) for c in (0, 1))


def test_halves_do_not_meet_and_too_few_inputs_are_refused():
    first, second = rules.halves(np.arange(7))
    assert sorted([*first, *second]) == list(range(7))
    with pytest.raises(ValueError, match="hold out two or more"):
        rules.halves(np.arange(1))
    with pytest.raises(ValueError, match="give one or more held out"):
        rules.fit_rule(np.zeros((0, 7)), np.zeros((0, 2), int), SIZES)


def test_only_and_without_the_rule_by_loops():
    targets, table, logits = made(n=9)
    rule = rules.Rule(table, np.arange(7.0), SIZES)
    only, without = rules.only_rule(rule, targets), rules.without_rule(logits, rule, targets)
    for row, answers in enumerate(targets):
        for start, q, y in zip((0, 2), SIZES, answers, strict=True):
            for c in range(q):
                says = table[start + (y - c) % q]
                assert only[row, start + c] == pytest.approx(says + start + c)
                assert without[row, start + c] == pytest.approx(logits[row, start + c] - says)


def test_answers_that_are_no_classes_and_logits_of_other_inputs_are_refused():
    targets, table, logits = made(n=9)
    rule = rules.Rule(table, np.zeros(7), SIZES)
    for answers in (targets + 1, -1 - targets, targets[:, :1]):
        with pytest.raises(ValueError, match=r"a class of each task, 0 to \[1, 4\]"):
            rules.only_rule(rule, answers)
    with pytest.raises(
        ValueError, match=r"logits of shape \(1, 7\) were given, answers for \(9, 7\)"
    ):
        rules.without_rule(logits[:1], rule, targets)
