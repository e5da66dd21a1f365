import numpy as np
import oracles_circuits as oracle
import pytest
from tiny import untrained

from miiii_core.circuits import exam, formula, places

ROWS = np.array([3, 1, 40, 8, 20, 33, 47])


@pytest.fixture(scope="module")
def small():
    task, model = untrained()
    return task, model, model.activations(task.digits), model.weights


def fitted(values, columns):
    """Dense least squares with a constant; what the columns explain, less their means."""
    design = np.column_stack([np.ones(len(values)), *columns])
    weights = np.linalg.lstsq(design, values, rcond=None)[0][1:]
    return (design[:, 1:] - design[:, 1:].mean(axis=0)) @ weights


def angles(waves, numbers):
    columns = [f(2 * np.pi * k * numbers / q) for k, q in waves for f in (np.cos, np.sin)]
    return [column for column in columns if np.abs(column).max() > 1e-9]  # q = 2 has no sine


WAVES = [[(1, 5)], [(1, 2)], [(2, 5), (1, 3)]]


@pytest.mark.parametrize("waves", WAVES)
def test_waves_leave_the_embedding_by_dense_least_squares(small, waves):
    task, model, activations, weights = small
    table = np.array(weights["W_E"], float)
    digit = np.arange(7)
    table[:7] -= fitted(table[:7], angles(waves, digit) + angles(waves, 7 * digit))
    found = places.without_waves(model, waves)
    np.testing.assert_allclose(found.W_E, table, atol=1e-5)
    np.testing.assert_array_equal(found.W_E[7], model.W_E[7])
    assert all(found.weights[n] is w for n, w in model.weights.items() if n != "W_E")
    expected = oracle.read_out(dict(weights) | {"W_E": table}, task.digits)["logits"][ROWS]
    logits = places.logits_without_waves("embedding", activations, model, task, waves, ROWS)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("waves", WAVES)
def test_waves_leave_the_neurons_and_the_stream_by_dense_least_squares(small, waves):
    task, model, activations, weights = small
    columns = angles(waves, np.arange(49))
    clean = oracle.read_out(weights, task.digits)
    hidden = clean["neurons"] - fitted(clean["neurons"], columns)
    expected = oracle.read_out(weights, task.digits, neurons=hidden)["logits"]
    found = places.logits_without_waves("neurons", activations, model, task, waves, ROWS)
    np.testing.assert_allclose(found, expected[ROWS], rtol=1e-4, atol=1e-4)
    end = np.asarray(activations.resid_post, float)
    expected = (end - fitted(end, columns)) @ np.asarray(model.W_U, float)
    found = places.logits_without_waves("stream", activations, model, task, waves, ROWS)
    np.testing.assert_allclose(found, expected[ROWS], rtol=1e-4, atol=1e-4)


def test_a_planted_table_loses_its_wave_and_keeps_the_others(small):
    _, model, _, _ = small
    digit = np.arange(7)
    own, other = np.cos(2 * np.pi * digit / 5), np.cos(2 * np.pi * digit / 3)
    table = np.zeros((8, 8), np.float32)
    table[:7, 0], table[:7, 1] = own, other
    planted = places.with_weights(model, W_E=table)
    left = np.asarray(places.without_waves(planted, [(1, 5)]).W_E)[:7]
    np.testing.assert_allclose(left[:, 0], own.mean(), atol=1e-5)
    assert 0 < left[:, 1].std() < other.std()  # seven digits do not hold the two apart


def test_each_task_loses_what_it_uses_in_each_place(small):
    task, model, activations, _ = small
    test = exam.make_exam(task, activations.logits, ROWS)
    blank = np.zeros(2)
    formulas = [
        formula.Formula(q, blank[: q // 2], blank[: q // 2], blank[: q // 2], np.array([1]))
        for q in task.moduli
    ]
    found = places.try_places(
        activations, model, task, test, formulas, np.random.default_rng(0), draws=2
    )
    assert list(found) == list(places.PLACES)
    for place, one in found.items():
        assert one.sizes.tolist() == [1, 1, 1] and one.controls.shape == (2, 3, 3)
        for i, q in enumerate(task.moduli):
            logits = places.logits_without_waves(place, activations, model, task, [(1, q)], ROWS)
            np.testing.assert_allclose(one.left[i], test.left(logits))
        # 2 and 3 have no other wave, 5 has one.
        assert np.isnan(one.controls[:, :2]).all()
        logits = places.logits_without_waves(place, activations, model, task, [(2, 5)], ROWS)
        np.testing.assert_allclose(one.controls[:, 2], np.tile(test.left(logits), (2, 1)))


def test_waves_and_places_that_there_are_not_are_refused(small):
    task, model, activations, _ = small
    with pytest.raises(ValueError, match="take 1 to 2"):
        places.without_waves(model, [(3, 5)])
    with pytest.raises(ValueError, match="no waves were given"):
        places.without_waves(model, [])
    with pytest.raises(ValueError, match="leave nothing; give fewer waves"):
        places.number_waves(4, [(1, 5), (2, 5)])
    for place, rows, message in (
        ("logits", ROWS, "'logits' will not do; it takes one of embedding, neurons, stream"),
        ("stream", np.array([-1]), "give one or more of the inputs 0 to 48"),
    ):
        with pytest.raises(ValueError, match=message):
            places.logits_without_waves(place, activations, model, task, [(1, 5)], rows)
