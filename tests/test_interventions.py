import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from counting import compilations
from tiny import untrained

from miiii_core import interventions
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


@pytest.mark.parametrize("fill", interventions.FILLS)
@pytest.mark.parametrize(
    ("site", "ablate", "units", "removed"),
    [
        ("head_out", interventions.ablate_heads, 2, []),
        ("head_out", interventions.ablate_heads, 2, [1]),
        ("head_out", interventions.ablate_heads, 2, [0, 1]),
        ("neurons", interventions.ablate_neurons, 16, [2]),
        ("neurons", interventions.ablate_neurons, 16, [0, 5, 9, 15]),
        ("neurons", interventions.ablate_neurons, 16, range(16)),
    ],
)
def test_parts_taken_out_and_all_that_follows_computed_again(
    small, site, ablate, units, removed, fill
):
    task, model, a, clean = small
    put = {site: oracles.put_to(fill, clean[site], removed)}
    expected = oracles.read_out(model.weights, task.digits, **put)["logits"]
    edit = ablate(a, interventions.unit_mask(list(removed), units), fill)
    np.testing.assert_allclose(interventions.logits_with(model, task, edit), expected, **CLOSE)
    some = interventions.logits_with(model, task, edit, SOME)
    np.testing.assert_allclose(some, expected[SOME], **CLOSE)


@pytest.mark.parametrize("fixed", [[], [1], [0, 1]])
def test_attention_held_at_its_mean_while_values_vary(small, fixed):
    task, model, a, clean = small
    pattern = oracles.put_to("mean", clean["attention"], fixed)
    expected = oracles.read_out(model.weights, task.digits, attention=pattern)["logits"]
    edit = interventions.fix_attention(a, interventions.unit_mask(fixed, 2))
    np.testing.assert_allclose(interventions.logits_with(model, task, edit), expected, **CLOSE)


@pytest.mark.parametrize("waves", [[(1, 5)], [(1, 2)], [(2, 5), (1, 3)]])
@pytest.mark.parametrize("site", ["neurons", "resid_post"])
def test_waves_leave_neurons_and_stream_by_dense_least_squares(small, waves, site):
    task, model, a, clean = small
    fit = oracles.least_squares(clean[site], oracles.wave_columns(waves, np.arange(49)))
    put = {site: clean[site] - fit}
    expected = oracles.read_out(model.weights, task.digits, **put)["logits"]
    for rows in (None, SOME):
        edit = interventions.without_waves(a, Waves.of(waves), site, rows)
        found = interventions.logits_with(model, task, edit, rows)
        np.testing.assert_allclose(found, expected if rows is None else expected[rows], **CLOSE)


def test_other_parts_of_the_same_kind_compile_nothing(small):
    task, model, a, _ = small

    def all_of_them(units, q):
        edits = [
            interventions.ablate_neurons(a, interventions.unit_mask(units, 16)),
            interventions.ablate_heads(a, interventions.unit_mask(units[:1], 2)),
            interventions.fix_attention(a, interventions.unit_mask(units[:1], 2)),
            interventions.without_waves(a, Waves.of([(1, q)]), "neurons"),
        ]
        return [interventions.logits_with(model, task, edit) for edit in edits]

    all_of_them([0], 3)
    with compilations() as seen:
        all_of_them([1, 7, 9], 5)
    assert not seen


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda t, m, a: interventions.unit_mask([0, 9, -1], 4), ["[9, -1]", "0 to 3"]),
        (
            lambda t, m, a: interventions.ablate_neurons(a, np.zeros(4, bool)),
            ["(4,)", "16 neurons"],
        ),
        (lambda t, m, a: interventions.ablate_heads(a, np.zeros(4, bool)), ["(4,)", "2 head"]),
        (lambda t, m, a: interventions.fix_attention(a, np.zeros(4, bool)), ["(4,)", "2 atten"]),
        (
            lambda t, m, a: interventions.ablate_neurons(a, np.ones(16, bool), "median"),
            ["'median'", "mean, zero"],
        ),
        (
            lambda t, m, a: interventions.without_waves(a, Waves.of([(1, 5)]), "logits"),
            ["'logits'", "neurons", "resid_post"],
        ),
        (
            lambda t, m, a: interventions.without_waves(
                a, Waves.of([(1, 5)]), "neurons", np.array([-1])
            ),
            ["[-1]", "0 to 48"],
        ),
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
