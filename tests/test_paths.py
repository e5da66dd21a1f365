import numpy as np
import oracles_circuits as oracle
import pytest
from tiny import untrained

from miiii_core.circuits import exam, paths

ROWS = np.arange(0, 49, 3)
GROUPS = {"few": np.array([0, 3, 5]), "rest": np.setdiff1d(np.arange(16), [0, 3, 5])}


@pytest.fixture(scope="module")
def small():
    task, model = untrained()
    activations = model.activations(task.digits)
    parts = paths.take_apart(activations, model, task.digits, GROUPS, ROWS)
    return task, model, parts, exam.make_exam(task, activations.logits, ROWS)


def by_hand(model, digits, gates):
    """Logits with each part open or at its mean, path by path, in float64."""
    W = {name: np.asarray(weight, float) for name, weight in model.weights.items()}
    attention = oracle.read_out(model.weights, digits)["attention"]
    tokens = [np.append(d, 7) for d in digits]
    moved = np.zeros((len(digits), 5, 8))
    for n, words in enumerate(tokens):
        for h in range(2):
            for t in range(3):
                value = (W["W_E"][words[t]] + W["W_pos"][t]) @ W["W_V"][h] @ W["W_O"][h]
                moved[n, 2 * h + t if t < 2 else 4] += attention[n, h, t] * value
    start = W["W_E"][7] + W["W_pos"][2]
    mean = moved.mean(axis=0)
    middle = start + moved.sum(axis=1)
    neurons = np.maximum(middle @ W["W_in"], 0).mean(axis=0)
    now = start + sum(
        moved[:, i] if gates[i] else np.broadcast_to(mean[i], moved[:, i].shape) for i in range(5)
    )
    hidden = np.maximum(now @ W["W_in"], 0)
    for gate, group in zip(gates[5:7], GROUPS.values(), strict=True):
        if not gate:
            hidden[:, group] = neurons[group]
    past = now if gates[7] else middle.mean(axis=0)[None]
    return (past + hidden @ W["W_out"]) @ W["W_U"]


@pytest.mark.parametrize("number", [0, 255, 1, 0b10010110, 0b01101001, 0b11100000])
def test_a_circuit_is_the_network_with_the_other_parts_at_their_means(small, number):
    task, model, parts, _ = small
    gates = paths.all_circuits(8)[number]
    expected = by_hand(model, task.digits, gates)[ROWS]
    found = paths.gated_logits(parts, model, gates.astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_every_circuit_is_scored_as_if_it_ran_alone(small):
    task, model, parts, test = small
    left = paths.try_all(parts, model, test)
    assert left.shape == (256, 3)
    for number, gates in enumerate(paths.all_circuits(8)):
        alone = by_hand(model, task.digits, gates)[ROWS]
        # Float32 may break a near tie the other way: one answer at most.
        slack = 1.01 / len(ROWS) / np.maximum(test.whole - test.guess, 1e-9)
        np.testing.assert_array_less(np.abs(left[number] - test.left(alone)), slack)
    np.testing.assert_allclose(left[-1], 1)


def test_attributions_are_slopes_by_small_steps(small):
    task, model, parts, test = small
    found = paths.attributions(parts, model, test)
    loss = [
        oracle.scores(
            np.asarray(paths.gated_logits(parts, model, g), float),
            task.targets[ROWS], task.class_sizes, range(len(ROWS)),
        )[0]
        for i in range(8)
        for g in (np.ones(8) - 1e-2 * np.eye(8)[i], np.ones(8) + 1e-2 * np.eye(8)[i])
    ]  # fmt: skip
    slopes = np.array(
        [(low - high) / 2e-2 for low, high in zip(loss[::2], loss[1::2], strict=True)]
    )
    np.testing.assert_allclose(found.T, slopes, rtol=0.1, atol=2e-2)


def test_groups_hold_each_neuron_once_and_neighbouring_tasks():
    share = np.random.default_rng(0).normal(size=(40, 5))
    groups = paths.neuron_groups(share, [2, 3, 5, 7, 11], 3)
    assert sorted(np.concatenate(list(groups.values()))) == list(range(40))
    favourite = [sorted(set(share[g].argmax(axis=1))) for g in groups.values()]
    assert sum(favourite, []) == sorted(sum(favourite, []))
    assert all(name.startswith("neurons ") for name in groups) and len(groups) <= 3


def test_inputs_of_a_search_fit_the_memory(small):
    assert set(paths.search_rows(small[0])) <= set(small[0].train)


def test_what_cannot_be_taken_apart_is_refused(small):
    task, model, _, _ = small
    activations = model.activations(task.digits)
    with pytest.raises(ValueError, match="each of the 16 neurons once"):
        paths.take_apart(activations, model, task.digits, {"few": GROUPS["few"]}, ROWS)
    single = {str(j): np.array([j]) for j in range(16)}
    with pytest.raises(
        paths.TooManyParts, match=r"22 parts make 2\^22 circuits; 18 parts are the most"
    ):
        paths.take_apart(activations, model, task.digits, single, ROWS)
    with pytest.raises(ValueError, match="one modulus for each task"):
        paths.neuron_groups(np.zeros((4, 2)), [2, 3, 5], 2)


def test_other_inputs_or_gates_than_the_parts_are_refused(small):
    task, model, parts, test = small
    fewer = exam.make_exam(task, model.activations(task.digits).logits, ROWS[1:])
    for scored in (paths.try_all, paths.attributions):
        with pytest.raises(ValueError, match="parts on 17 inputs and an exam on 16 were given"):
            scored(parts, model, fewer)
    with pytest.raises(ValueError, match=r"gates of shape \(7,\) were given for 8 parts"):
        paths.gated_logits(parts, model, np.ones(7, np.float32))
    with pytest.raises(ValueError, match="give one or more of the inputs 0 to 48"):
        paths.take_apart(model.activations(task.digits), model, task.digits, GROUPS, np.array([-1]))
