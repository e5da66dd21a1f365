import dataclasses

import numpy as np
import pytest

from miiii_core.addition import survey
from miiii_core.addition.published import NANDA

P, K = 11, 3
DRAW = np.random.default_rng(0)


@pytest.fixture(scope="module")
def measured(tiny_addition):
    with pytest.MonkeyPatch.context() as patch:  # so short a run has no key frequency of its own
        patch.setattr(survey, "key_of", lambda run: (1, 3))
        return survey.measures(tiny_addition, draws=2)


def test_every_published_number_has_its_counterpart_and_a_verdict(measured):
    assert set(measured.ours) == set(measured.agrees) == set(NANDA)
    for name, (low, high) in measured.ours.items():
        assert measured.agrees[name] == NANDA[name].agrees(low, high)
        assert low <= high or np.isnan([low, high]).all(), name
    assert measured.ours["key_frequencies"] == (2, 2)


def test_what_is_measured_has_the_sizes_of_the_model(tiny_addition, measured):
    config = tiny_addition.config.model
    assert measured.p == 7 and len(measured.embedding_share) == 3
    assert len(measured.frequency) == len(measured.share) == config.d_mlp
    assert len(measured.head_share) == len(measured.head_key_share) == config.n_heads
    assert len(measured.map_share) == 4 and measured.sums.shape == (2, 2)
    np.testing.assert_allclose(measured.map_share.sum(), 1)
    np.testing.assert_array_equal(measured.epochs, tiny_addition.snapshot_epochs)
    assert len(measured.history.loss) == len(measured.epochs)


def test_clusters_are_the_neurons_that_one_key_frequency_explains(measured):
    assert [c.frequency for c in measured.clusters] == [1, 3]
    for found in measured.clusters:
        assert (measured.frequency[found.neurons] == found.frequency).all()
        assert (measured.share[found.neurons] > survey.EXPLAINED).all()
        assert measured.neurons_per_frequency.get(found.frequency, 0) == len(found.neurons)
        assert (found.fit <= measured.share[found.neurons] + 1e-9).all()


def test_a_run_without_key_frequencies_is_measured_too(tiny_addition):
    found = survey.measures(tiny_addition, draws=1)
    if not found.key:
        assert found.clusters == () and np.isnan(found.ours["sums_explained"].low)
        needs_key = ("key_frequencies", "restricted_ratio", "complement_ratio", "sums_explained")
        assert not any(found.agrees[name] for name in needs_key)


def test_measures_are_frozen(measured):
    with pytest.raises(dataclasses.FrozenInstanceError):
        measured.p = 5


def test_another_task_is_refused(tiny_run):
    with pytest.raises(ValueError, match=r"run of 'miiii'; .* give a run of 'nanda'"):
        survey.measures(tiny_run)


def test_classes_lose_what_least_squares_finds_at_the_frequencies():
    logits = DRAW.normal(size=(4, P))
    angle = 2 * np.pi * np.outer([1, K], np.arange(P)) / P
    waves = np.concatenate([np.cos(angle), np.sin(angle)]).T
    fit = (waves @ np.linalg.lstsq(waves, logits.T, rcond=None)[0]).T
    np.testing.assert_allclose(survey.without_classes(logits, [1, K]), logits - fit, atol=1e-12)


def sums(k):
    n = np.arange(P * P)
    return 2 * np.pi * k * (n % P + n // P) / P


def test_neurons_that_say_the_wave_of_the_sum_are_explained_in_full():
    classes = 2 * np.pi * K * np.arange(P) / P
    neurons = np.stack([1 + np.cos(sums(K)), 1 + np.sin(sums(K))], axis=1)
    writes = np.stack([np.cos(classes), np.sin(classes)])
    np.testing.assert_allclose(survey.sum_directions(neurons, writes, [K]), [[1, 1]])
    swapped = survey.sum_directions(neurons[:, ::-1], writes, [K])
    np.testing.assert_allclose(swapped, [[0, 0]], atol=1e-12)


def test_shares_of_directions_are_squared_correlations():
    neurons, writes = DRAW.normal(size=(P * P, 5)), DRAW.normal(size=(5, P))
    found = survey.sum_directions(neurons, writes, [1, K])
    for row, k in enumerate((1, K)):
        angle = 2 * np.pi * k * np.arange(P) / P
        for column, wave in enumerate((np.cos, np.sin)):
            said = neurons @ (writes @ wave(angle))
            wanted = np.corrcoef(said, wave(sums(k)))[0, 1] ** 2
            np.testing.assert_allclose(found[row, column], wanted)


def test_a_unit_of_two_frequencies_is_explained_by_both_and_not_by_one():
    x = 2 * np.pi * np.arange(P) / P
    grid = (1 + np.cos(2 * x))[:, None] * (1 + np.sin(3 * x))[None, :]
    np.testing.assert_allclose(survey.key_share(grid[None], [2, 3]), 1)
    assert survey.key_share(grid[None], [2])[0] < 0.6
    assert survey.key_share(np.ones((1, P, P)), [2])[0] == 0
