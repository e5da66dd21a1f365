import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miiii_core import addition, fourier

P, K, KEY = 11, 3, (1, 3)
DRAW = np.random.default_rng(0)
VALUES = DRAW.normal(size=(P * P, 4))
SUMS = np.arange(P * P) % P + np.arange(P * P) // P


@given(st.sets(st.integers(1, P // 2)))
def test_kept_and_removed_parts_are_least_squares_fits_and_add_up(frequencies):
    chosen = sorted(frequencies)
    waves = addition.sum_waves(P, chosen)
    np.testing.assert_allclose(waves.T @ waves, np.eye(2 * len(chosen)), atol=1e-12)
    fit = oracles.least_squares(VALUES, oracles.wave_columns([(k, P) for k in chosen], SUMS))
    kept, left = addition.parted(VALUES, waves)
    np.testing.assert_allclose(kept, fit + VALUES.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(left, VALUES - fit, atol=1e-12)


def test_planted_cosines_of_the_sum_less_the_class_are_found_in_full():
    angle = 2 * np.pi * (SUMS[:, None] - np.arange(P)) / P
    logits = 3 * np.cos(2 * angle) + np.cos(5 * angle) + np.arange(P)
    shares = addition.addition_shares(logits, [1, 2, 5])
    np.testing.assert_allclose(shares, [0, 0.9, 0.1], atol=1e-12)
    noise = DRAW.normal(size=(P * P, P))
    assert addition.addition_shares(noise, [1, 2, 3, 4, 5]).sum() < 0.05
    assert addition.addition_shares(np.ones((P * P, P)), [1]).sum() == 0


def test_frequencies_that_do_not_exist_are_named():
    with pytest.raises(ValueError, match=r"\(0, 11\), \(6, 11\)"):
        addition.sum_waves(P, [0, 3, 6])


def mean_losses(logits, task):
    """Loss on training inputs and on all others, by loops over inputs."""
    other = sorted(set(range(len(logits))) - set(task.train.tolist()))
    splits = (task.train, other)
    return [oracles.scores(logits, task.targets, (task.p,), rows)[0][0] for rows in splits]


def test_losses_with_and_without_waves_of_the_sum_in_the_logits(tiny_addition):
    task, model = tiny_addition.task, tiny_addition.model
    logits = oracles.read_out(model.weights, task.digits)["logits"]
    found = addition.moment(model, task, KEY, draws=3)
    np.testing.assert_allclose(found.loss, mean_losses(logits, task), rtol=1e-4)
    sets = [KEY, (2,), (2,), (2,)]  # of 1, 2, 3 only 2 is not key
    for ks, restricted, excluded in zip(sets, found.restricted, found.excluded, strict=True):
        waves = oracles.wave_columns([(k, 7) for k in ks], task.digits.sum(axis=1))
        fit = oracles.least_squares(logits, waves)
        kept = mean_losses(fit + logits.mean(axis=0), task)
        np.testing.assert_allclose(restricted, kept, rtol=1e-4)
        np.testing.assert_allclose(excluded, mean_losses(logits - fit, task), rtol=1e-4)
    weights = [np.asarray(w, float) for w in model.weights.values()]
    np.testing.assert_allclose(found.squared_weights, sum((w**2).sum() for w in weights))


EPOCHS = np.array([0, 10, 20, 30, 40])


@pytest.mark.parametrize(
    ("excluded", "unseen", "ends"),
    [
        ([4.0, 1, 2, 9], [5.0, 20, 19, 3, 0.01], [(1, 16), (20, 30), (30, 40)]),
        # A loss that comes back ends no phase before.
        ([4.0, 1, 2, 9], [5.0, 0.01, 6, 0.02, 0.01], [(1, 16), (20, 30), (20, 30)]),
        # Nothing has ended.
        ([4.0, 3, 2, 1], [5.0, 6, 7, 8, 9], [(np.nan, np.nan)] * 3),
    ],
)
def test_phases_are_placed_between_records(excluded, unseen, ends):
    found = addition.phases([1, 8, 16, 40], np.array(excluded), EPOCHS, np.array(unseen), 4.7)
    np.testing.assert_array_equal(found, ends)


@pytest.fixture(scope="module")
def measured(tiny_addition):
    """All measures of a run too small to have key frequencies, as if it had some."""
    key = fourier.KeyFrequencies(np.full(4, 0.25), np.isin(np.arange(4), KEY))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fourier, "key_frequencies", lambda _: key)
        return addition.measures(tiny_addition, draws=2)


def test_every_measure_has_the_size_of_the_model(tiny_addition, measured):
    config = tiny_addition.config.model
    assert len(measured.frequency) == len(measured.share) == config.d_mlp
    assert len(measured.head_share) == config.n_heads
    assert len(measured.embedding_share) == len(measured.logit_share) == 3
    np.testing.assert_allclose(measured.map_share.sum(), 1)
    np.testing.assert_array_equal(measured.epochs, tiny_addition.snapshot_epochs)
    assert measured.history.restricted.shape == (len(measured.epochs), 3, 2)
    assert all(low <= high or np.isnan(low) for low, high in measured.ours.values())
    assert measured.ours["key_frequencies"] == (2, 2)


def test_without_key_frequencies_there_is_nothing_to_compare(measured):
    none = measured._replace(key=(), sums=np.zeros(0))
    for name in ("sums_explained", "restricted_ratio", "complement_ratio"):
        assert np.isnan(none.ours[name].low)


@pytest.mark.parametrize("flipped", [None, 0, 1, 2])
def test_the_circuit_forms_if_all_three_measures_move_between_the_phases(measured, flipped):
    falls, rises = np.array([9.0, 5.0, 4.0, 3.0, 9.0]), np.array([9.0, 3.0, 4.0, 5.0, 1.0])
    values = [falls, rises, falls]
    if flipped is not None:
        values[flipped] = 20 - values[flipped]
    kept, left = (np.stack([v, v], axis=1)[:, None] for v in values[:2])
    past = measured.history._replace(restricted=kept, excluded=left, squared_weights=values[2])
    ends = [addition.Bracket(*ends) for ends in ((1.0, 16.0), (30.0, 40.0), (40.0, 50.0))]
    found = measured._replace(
        epochs=np.array([1, 8, 16, 30, 40]), history=past, phases=addition.Phases(*ends)
    )
    assert found.circuit_forms == (flipped is None)
    never = addition.Phases(*[addition.Bracket(np.nan, np.nan)] * 3)
    assert not found._replace(phases=never).circuit_forms


def test_what_the_neurons_say_and_the_complement_are_those_of_least_squares(
    tiny_addition, measured
):
    task, weights = tiny_addition.task, tiny_addition.model.weights
    clean = oracles.read_out(weights, task.digits)
    classes = np.stack(oracles.wave_columns([(k, 7) for k in KEY], np.arange(7)), axis=1)
    sums = oracles.wave_columns([(k, 7) for k in KEY], task.digits.sum(axis=1))
    writes = np.asarray(weights["W_out"], float) @ np.asarray(weights["W_U"], float)
    said = clean["neurons"] @ (writes @ classes)
    squared = [np.corrcoef(a, b)[0, 1] ** 2 for a, b in zip(said.T, sums, strict=True)]
    np.testing.assert_allclose(measured.sums, squared, rtol=1e-3, atol=1e-6)
    fit = oracles.least_squares(clean["logits"].T, list(classes.T)).T
    lost = mean_losses(clean["logits"] - fit, task)
    np.testing.assert_allclose(measured.complement, lost, rtol=1e-4)


def test_another_task_is_refused(tiny_run):
    with pytest.raises(ValueError, match="'miiii'.*'nanda'"):
        addition.measures(tiny_run)
