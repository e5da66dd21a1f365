import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from counting import compilations
from tiny import untrained

from miiii_core import interventions, waves
from miiii_core.waves import Waves

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
SOME = np.array([40, 3, 17])


@pytest.fixture(scope="module")
def small():
    """A task of 49 inputs, a random network, its activations, and the same by loops."""
    task, model = untrained()
    clean = oracles.read_out(model.weights, task.digits)
    return task, model, model.activations(task.digits), clean


@pytest.mark.parametrize("rows", [None, SOME])
def test_scores_are_means_over_rows_by_loops(small, rows):
    task, _, a, clean = small
    chosen = range(49) if rows is None else rows
    loss, accuracy = oracles.scores(clean["logits"], task.targets, task.class_sizes, chosen)
    found = interventions.score(a.logits, task, rows)
    np.testing.assert_allclose(found.loss, loss, rtol=1e-4)
    np.testing.assert_allclose(found.accuracy, accuracy, rtol=1e-5)


@pytest.mark.parametrize(
    ("site", "removed"),
    [
        ("head_out", []), ("head_out", [1]), ("attention", [0, 1]), ("neurons", [0, 5, 9, 15]),
        ("neurons", range(16)),
    ],
)  # fmt: skip
def test_parts_taken_out_and_all_that_follows_computed_again(small, site, removed):
    task, model, a, clean = small
    put = {site: oracles.put_to_mean(clean[site], removed)}
    expected = oracles.read_out(model.weights, task.digits, **put)["logits"]
    edit = interventions.ablate(a, site, removed)
    np.testing.assert_allclose(interventions.logits_with(model, task, edit), expected, **CLOSE)
    some = interventions.logits_with(model, task, edit, SOME)
    np.testing.assert_allclose(some, expected[SOME], **CLOSE)


@pytest.mark.parametrize("taken", [[(1, 2)], [(2, 5), (1, 3)]])
@pytest.mark.parametrize("site", ["neurons", "resid_post"])
def test_waves_leave_neurons_and_stream_by_dense_least_squares(small, taken, site):
    task, model, a, clean = small
    fit = oracles.least_squares(clean[site], oracles.wave_columns(taken, np.arange(49)))
    put = {site: clean[site] - fit}
    expected = oracles.read_out(model.weights, task.digits, **put)["logits"]
    left = jnp.asarray(waves.remove(getattr(a, site), Waves.of(taken)))
    found = interventions.logits_with(model, task, {site: lambda _: left})
    np.testing.assert_allclose(found, expected, **CLOSE)


def test_other_parts_of_the_same_kind_compile_nothing(small):
    task, model, a, _ = small

    def all_of_them(units):
        edits = [
            interventions.ablate(a, "neurons", units),
            interventions.ablate(a, "head_out", units[:1]),
            interventions.ablate(a, "attention", units[:1]),
        ]
        return [interventions.logits_with(model, task, edit) for edit in edits]

    all_of_them([0])
    with compilations() as seen:
        all_of_them([1, 7, 9])
    assert not seen


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda t, m, a: interventions.ablate(a, "neurons", [0, 16, -1]), ["16, -1]", "0 to 15"]),
        (lambda t, m, a: interventions.ablate(a, "heads", [0]), ["'heads'", "head_out"]),
        (lambda t, m, a: interventions.ablate(a, "neurons", [False, True]), ["flatnonzero"]),
        (lambda t, m, a: interventions.logits_with(m, t, {}, np.array([49])), ["[49]", "to 48"]),
        (lambda t, m, a: m.activations(np.array([[7, 3]])), ["(1, 2)", "range(7)"]),
        (lambda t, m, a: interventions.score(a.logits, t, np.array([-1])), ["[-1]", "0 to 48"]),
        (lambda t, m, a: interventions.score(a.logits[1:], t), ["(48, 10)", "(49, 10)"]),
        (
            lambda t, m, a: interventions.score(a.logits, t, jnp.array([], int)),
            ["one or more", "0 to 48"],
        ),
    ],
)
def test_bad_input_is_refused_by_name(small, ask, told):
    with pytest.raises(ValueError) as refused:
        ask(*small[:3])
    assert all(part in str(refused.value) for part in told), refused.value


@pytest.mark.parametrize("units", [np.arange(9) > 7, jnp.arange(9) > 7, [0.5], [9], [-1]])
def test_a_mask_is_no_list_of_units(units):
    assert not interventions._within(np.asarray(units), 9)
