import numpy as np
import oracles_circuits as oracle
import oracles_spectral
import pytest

from miiii_core.addition import formation

KEY = (1, 3)


def mean_losses(logits, task):
    """Loss on training inputs and on all others, by loops over inputs."""
    other = [row for row in range(len(logits)) if row not in set(task.train.tolist())]
    splits = (task.train, other)
    return [oracle.scores(logits, task.targets, (task.p,), rows)[0][0] for rows in splits]


@pytest.fixture(scope="module")
def computed(tiny_addition):
    task, weights = tiny_addition.task, tiny_addition.model.weights
    return task, weights, oracle.read_out(weights, task.digits)


@pytest.fixture(scope="module")
def measured(tiny_addition):
    return formation.moment(tiny_addition.model, tiny_addition.task, KEY, draws=3)


def test_losses_with_and_without_waves_of_the_sum_in_the_logits(computed, measured):
    task, _, found = computed
    logits = found["logits"]
    np.testing.assert_allclose(measured.loss, mean_losses(logits, task), rtol=1e-4)
    for row, frequencies in enumerate([KEY, KEY[:1], KEY[1:]]):
        fit = oracle.wave_fit(logits, task.p, frequencies)
        kept, left = fit + logits.mean(axis=0), logits - fit
        np.testing.assert_allclose(
            measured.logits.restricted[row], mean_losses(kept, task), rtol=1e-4
        )
        np.testing.assert_allclose(
            measured.logits.excluded[row], mean_losses(left, task), rtol=1e-4
        )


def test_losses_with_neurons_themselves_taken_apart(computed, measured):
    """The long way: change the neurons, then read the logits off them."""
    task, weights, found = computed
    for row, frequencies in enumerate([KEY, KEY[:1], KEY[1:]]):
        fit = oracle.block_fit(found["neurons"], task.p, frequencies)
        kept = fit + found["neurons"].mean(axis=0)
        for part, neurons in (("restricted", kept), ("excluded", found["neurons"] - fit)):
            logits = oracle.read_out(weights, task.digits, neurons=neurons)["logits"]
            losses = mean_losses(logits, task)
            np.testing.assert_allclose(
                getattr(measured.neurons, part)[row], losses, rtol=1e-4, err_msg=part
            )


def test_gini_and_weights_are_those_of_the_matrices(computed, measured):
    task, weights, _ = computed
    W = {name: np.asarray(weight, float) for name, weight in weights.items()}
    np.testing.assert_allclose(measured.squared_weights, sum((w**2).sum() for w in W.values()))
    basis = [np.ones(task.p)]
    for k in range(1, (task.p + 1) // 2):
        angle = 2 * np.pi * k * np.arange(task.p) / task.p
        basis += [np.cos(angle), np.sin(angle)]
    for table, found in zip(
        (W["W_E"][: task.p], (W["W_out"] @ W["W_U"]).T), measured.gini, strict=True
    ):
        norms = [np.linalg.norm(wave @ table) for wave in basis[1:]]
        np.testing.assert_allclose(found, oracles_spectral.gini_by_pairs(norms), rtol=1e-5)


def test_controls_are_other_frequencies_as_many_as_there_are(tiny_addition, measured):
    task, model = tiny_addition.task, tiny_addition.model
    assert measured.random.restricted.shape == (3, 2)
    only_other = formation.moment(model, task, [2], draws=1).logits.restricted[0]
    for draw in measured.random.restricted:  # at p = 7, besides 1 and 3 there is 2 alone
        np.testing.assert_allclose(draw, only_other, rtol=1e-6)


def test_without_key_frequencies_nothing_is_kept_and_nothing_removed(tiny_addition):
    found = formation.moment(tiny_addition.model, tiny_addition.task, (), draws=2)
    np.testing.assert_allclose(found.logits.excluded[0], found.loss, rtol=1e-5)
    np.testing.assert_allclose(found.neurons.excluded[0], found.loss, rtol=1e-4)
    assert found.logits.restricted.shape == (1, 2)


def test_a_history_has_the_moment_of_every_snapshot(tiny_addition, measured):
    past = formation.history(tiny_addition, KEY, draws=3)
    assert len(past.loss) == len(tiny_addition.snapshot_epochs)
    for last, alone in zip(past.neurons, measured.neurons, strict=True):
        np.testing.assert_allclose(last[-1], alone, rtol=1e-2)  # snapshots are in half precision
    first = tiny_addition.snapshot(tiny_addition.snapshot_epochs[0])
    start = formation.moment(first, tiny_addition.task, KEY, draws=3)
    np.testing.assert_allclose(past.squared_weights[0], start.squared_weights, rtol=1e-6)


def test_a_run_without_snapshots_has_no_history(tiny_addition, monkeypatch):
    monkeypatch.setitem(vars(tiny_addition), "snapshot_epochs", ())
    with pytest.raises(ValueError, match="no snapshots.*train it with n_snapshots of 1 or more"):
        formation.history(tiny_addition, KEY)


def test_unseen_loss_is_the_mean_over_validation_and_test(tiny_addition):
    task, record = tiny_addition.task, tiny_addition.metrics["loss"][:, :, 0]
    a, b = len(task.validation), len(task.test)
    wanted = [(v * a + t * b) / (a + b) for _, v, t in record]
    np.testing.assert_allclose(formation.unseen_loss(tiny_addition), wanted, rtol=1e-6)


EPOCHS = np.array([0, 10, 20, 30, 40])


def test_phases_are_placed_between_records():
    unseen = np.array([5.0, 20.0, 19.0, 3.0, 0.01])
    found = formation.phases([1, 8, 16, 40], np.array([4.0, 1.0, 2.0, 9.0]), EPOCHS, unseen, 4.7)
    assert found.memorised == (1, 16)
    assert found.formed == (20, 30)
    assert found.cleaned == (30, 40)


def test_a_phase_that_did_not_end_is_not_placed():
    rising = np.array([5.0, 6.0, 7.0, 8.0, 9.0])
    found = formation.phases([1, 8, 40], np.array([4.0, 2.0, 1.0]), EPOCHS, rising, 4.7)
    assert np.isnan(found).all()


def past(kept, left, weights):
    """A history of which only what tells the second phase is given."""
    both = [np.stack([v, v], axis=1)[:, None] for v in (kept, left)]
    parts = formation.Parts(*both)
    empty = np.zeros((len(kept), 2))
    return formation.Moment(empty, parts, parts, parts, empty, weights)


@pytest.mark.parametrize("flipped", [None, 0, 1, 2])
def test_the_circuit_forms_if_all_three_measures_move_between_the_phases(flipped):
    placed = formation.Phases(
        formation.Bracket(1.0, 16.0), formation.Bracket(30.0, 40.0), formation.Bracket(40.0, 50.0)
    )
    falls, rises = np.array([9.0, 5.0, 4.0, 3.0, 9.0]), np.array([9.0, 3.0, 4.0, 5.0, 1.0])
    values = [falls, rises, falls]
    if flipped is not None:
        values[flipped] = 20 - values[flipped]
    epochs = np.array([1, 8, 16, 30, 40])
    assert formation.circuit_forms(epochs, past(*values), placed) == (flipped is None)


def test_a_circuit_does_not_form_in_a_phase_that_is_not_placed():
    never = formation.Bracket(np.nan, np.nan)
    values = np.array([3.0, 2.0, 1.0])
    placed = formation.Phases(never, never, never)
    assert not formation.circuit_forms(np.array([1, 2, 3]), past(*[values] * 3), placed)


def test_a_loss_that_comes_back_ends_no_phase_before():
    unseen = np.array([5.0, 0.01, 6.0, 0.02, 0.01])
    found = formation.phases([1, 8, 40], np.array([4.0, 1.0, 2.0]), EPOCHS, unseen, 4.7)
    assert found.cleaned == (20, 30)
