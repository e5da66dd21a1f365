import numpy as np
import pytest

from miiii_core import presets
from miiii_core.analysis import divisibility
from miiii_core.analysis.divisibility import (
    answer_profile,
    frequencies_used,
    frequency_shares,
    knowledge,
    prior_entropy,
    residue_means,
    yes_over_no,
)
from miiii_core.config import Config
from miiii_core.training import train


def task(name, p=11):
    return train.task_of(Config().replace(name=name, p=p, n_validation=9))


def test_guessing_by_frequency_costs_the_entropy_of_the_answers():
    divisible = task("divisible")
    for q, entropy in zip(divisible.moduli, prior_entropy(divisible), strict=True):
        share = len(range(0, 121, q)) / 121
        assert entropy == pytest.approx(-share * np.log(share) - (1 - share) * np.log(1 - share))
    for q, entropy in zip(divisible.moduli, prior_entropy(task("miiii")), strict=True):
        counts = np.array([len(range(r, 121, q)) for r in range(q)]) / 121
        assert entropy == pytest.approx(-(counts * np.log(counts)).sum())


def test_knowledge_is_none_for_a_guess_and_all_for_certainty():
    divisible = task("divisible")
    entropy = prior_entropy(divisible)
    np.testing.assert_allclose(knowledge(np.stack([entropy, 0 * entropy]), divisible)[0], 0)
    np.testing.assert_allclose(knowledge(np.stack([entropy, 0 * entropy]), divisible)[1], 1)
    assert (knowledge(2 * entropy, divisible) < 0).all()


def test_answers_that_are_all_alike_have_no_entropy():
    shuffled = task("divisible")
    constant = type(shuffled)(**{**vars(shuffled), "targets": 0 * shuffled.targets})
    assert (prior_entropy(constant) == 0).all()


def test_yes_over_no_takes_the_second_of_each_pair():
    logits = np.array([[0.0, 1.0, 5.0, 3.0], [2.0, 2.0, -1.0, 0.0]])
    np.testing.assert_array_equal(yes_over_no(logits), [[1.0, -2.0], [0.0, 1.0]])


@pytest.mark.parametrize("q", [2, 3, 7])
def test_residue_means_are_means_over_every_qth_number(q):
    values = np.random.default_rng(q).normal(size=50)
    expected = [values[r::q].mean() for r in range(q)]
    np.testing.assert_allclose(residue_means(values, q), expected, rtol=1e-12)


def test_a_remainder_without_a_number_has_no_mean():
    with pytest.raises(ValueError, match="remainders modulo 7 need 7 values or more, not 6"):
        residue_means(np.zeros(6), 7)


def test_the_answer_profile_follows_the_right_class():
    q, numbers = 5, np.arange(23)
    shape = np.array([3.0, 1.0, 0.0, -1.0, 0.5])
    logits = np.stack([shape[(c - numbers) % q] for c in range(q)], axis=1)
    np.testing.assert_allclose(answer_profile(logits), shape)


def test_a_bump_at_one_residue_uses_every_frequency_alike():
    for q in (3, 7, 29):
        bump = (np.arange(q) == 0) * 2.0 - 1
        np.testing.assert_allclose(frequency_shares(bump), 1 / (q // 2))
        assert frequencies_used(bump) == pytest.approx(q // 2)


def test_a_single_wave_uses_one_frequency():
    wave = np.cos(2 * np.pi * 3 * np.arange(11) / 11 + 0.4)
    np.testing.assert_allclose(frequency_shares(wave), [0, 0, 1, 0, 0], atol=1e-12)
    assert frequencies_used(wave) == pytest.approx(1, abs=1e-6)
    assert frequency_shares(np.array([1.0, -1.0])) == [1.0]


def test_a_constant_uses_no_frequency():
    assert frequencies_used(np.zeros(7)) == 0
    assert (frequency_shares(np.zeros(7)) == 0).all()


def test_the_shares_are_those_of_direct_sums():
    profile, q = np.random.default_rng(0).normal(size=13), 13
    turns = 2 * np.pi * np.outer(np.arange(1, 7), np.arange(q)) / q
    energy = (np.cos(turns) @ profile) ** 2 + (np.sin(turns) @ profile) ** 2
    np.testing.assert_allclose(frequency_shares(profile), energy / energy.sum(), rtol=1e-9)


def test_the_right_answer_to_divisible_has_the_spectrum_that_is_stated():
    """[q | n] is 1/q times the sum of all waves at k/q cycles."""
    n, q = np.arange(121), 7
    waves = sum(np.exp(2j * np.pi * k * n / q) for k in range(q)) / q
    np.testing.assert_allclose(waves.real, n % q == 0, atol=1e-12)
    assert frequencies_used(residue_means((n % q == 0) * 1.0, q)) == pytest.approx(q // 2)


def test_the_preset_is_this_task():
    assert presets.preset("divisible-small").task.name == "divisible"
    assert divisibility.__doc__


def test_the_answer_profile_by_loops_and_of_nothing():
    logits = np.random.default_rng(0).normal(size=(11, 3))
    expected = [np.mean([logits[n, (n + r) % 3] for n in range(11)]) for r in range(3)]
    np.testing.assert_allclose(divisibility.answer_profile(logits), expected)
    with pytest.raises(ValueError, match="no logits were given to average"):
        divisibility.answer_profile(logits[:0])


def test_knowledge_of_another_number_of_tasks_is_refused():
    losses = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"losses of shape \(2, 3\) were given for 4 tasks"):
        divisibility.knowledge(losses, task("divisible"))
