import numpy as np
import oracles_circuits as oracle
import pytest

from miiii_core.circuits import breaking, dissection, exam, paths
from miiii_core.config import is_prime


def test_a_run_is_laid_out_once_and_broken_once(tiny_run):
    bench = dissection.lay_out(tiny_run)
    assert dissection.lay_out(tiny_run) is bench
    assert dissection.break_by_subspaces(bench) is dissection.break_by_subspaces(bench)


def test_parts_are_chosen_on_other_inputs_than_they_are_scored_on(tiny_run):
    bench = dissection.lay_out(tiny_run)
    assert set(bench.choosing.rows) <= set(tiny_run.task.train)
    assert not set(bench.scoring.rows) & set(tiny_run.task.train)
    assert bench.solved.tolist() == (bench.scoring.whole >= 0.9).tolist()


def test_a_sieve_is_compared_with_the_primes_there_are(tiny_run):
    bench = dissection.lay_out(tiny_run)
    erased = dissection.break_by_subspaces(bench).erasures
    found = dissection.sieve_numbers(bench, erased)
    assert found.prime.tolist() == [is_prime(n) for n in range(49)]
    assert found.broken.shape == found.guarded.shape == (3, 49)
    logits = np.asarray(bench.activations.logits)
    zero = np.stack([part.argmax(axis=1) == 0 for part in np.split(logits, [2, 5], axis=1)], 1)
    own = np.arange(49)[:, None] == np.array([2, 3, 5])
    called = ~(zero & ~own).any(axis=1) & (np.arange(49) > 1)
    assert found.called.tolist() == called.tolist()
    assert not (found.slipped & (found.called | found.prime)).any()


def test_every_circuit_is_tried_on_groups_that_hold_all_neurons(tiny_run):
    search = dissection.search_circuits(dissection.lay_out(tiny_run), groups=2)
    assert len(search.left) == 2 ** len(search.parts.names)
    np.testing.assert_array_equal(np.asarray(search.parts.groups).sum(axis=0), 1)
    np.testing.assert_allclose(search.left[-1], 1, atol=1e-6)


def test_circuits_are_judged_on_inputs_held_out(tiny_run):
    bench = dissection.lay_out(tiny_run)
    search = dissection.search_circuits(bench, groups=2)
    rows = np.concatenate([tiny_run.task.validation, tiny_run.task.test])
    judging = exam.make_exam(tiny_run.task, bench.activations.logits, rows)
    members = paths.neuron_groups(bench.share, tiny_run.task.moduli, 2)
    whole = paths.take_apart(
        bench.activations, tiny_run.model, tiny_run.task.digits, members, np.arange(49)
    )

    def kept(number, i):
        gates = np.array([(number >> bit) & 1 for bit in range(len(whole.names))], np.float32)
        logits = paths.gated_logits(whole, tiny_run.model, gates)[rows]
        return judging.left(logits)[i]

    for way, numbers in enumerate(search.chosen):
        for i, number in enumerate(numbers):
            expected = kept(number, i) if number >= 0 else np.nan
            np.testing.assert_allclose(search.held_out[way, i], expected, atol=1e-6)
    assert search.found[1:] == search.chosen[1:]
    for i, number in enumerate(search.found.smallest):
        # As the whole network keeps each task, something does.
        assert search.left[number, i] >= exam.KEPT and kept(number, i) >= exam.KEPT
        assert int(number).bit_count() >= int(search.chosen.smallest[i]).bit_count()


@pytest.mark.parametrize("fill", ["mean", "zero"])
def test_tasks_broken_by_neurons_are_those_of_running_again_without_them(tiny_run, fill):
    """Every set of the orders tried, by brute force, and each chosen one taken out the long way."""
    bench = dissection.lay_out(tiny_run)
    sets, found = dissection.neuron_sets(bench), dissection.break_by_neurons(bench, fill)
    task, weights = tiny_run.task, tiny_run.model.weights
    clean = oracle.read_out(weights, task.digits)["neurons"]
    put = {"mean": oracle.put_to_mean, "zero": oracle.put_to_zero}[fill]
    assert found.sizes.tolist() == [len(removed) for removed in sets]
    assert found.controls.shape == (dissection.DRAWS, 3, 3)
    for i, removed in enumerate(sets):
        hidden = put(clean, removed)
        logits = oracle.read_out(weights, task.digits, neurons=hidden)["logits"]
        # Float32 may break a near tie the other way: one answer at most.
        above = np.maximum(bench.scoring.whole - bench.scoring.guess, 1e-9)
        slack = 1.01 / len(bench.scoring.rows) / above
        again = bench.scoring.left(logits[bench.scoring.rows])
        assert (np.abs(found.left[i] - again) <= slack).all()


def test_a_set_that_breaks_a_task_is_the_smallest_of_its_order(tiny_run):
    bench = dissection.lay_out(tiny_run)
    tail, test = bench.tail(bench.choosing), bench.choosing
    half, generator = bench.share.shape[0] // 2, np.random.default_rng(0)
    for i in range(3):
        for order in (np.argsort(-bench.share[:, i]), generator.permutation(2 * half)):
            broken = [
                size
                for size in range(1, half + 1)
                if test.left(tail.without(order[:size]))[i] <= exam.BROKEN
            ]
            found = len(breaking.smallest_set(tail, test, i, order))
            assert found == (broken[0] if broken else half)


def test_the_tail_and_the_stream_are_those_of_the_exams_inputs(tiny_run):
    bench = dissection.lay_out(tiny_run)
    tail, (stream, test) = bench.tail(bench.scoring), bench.stream(bench.scoring)
    neurons = np.asarray(bench.activations.neurons)
    np.testing.assert_allclose(tail.swing, (neurons - neurons.mean(axis=0))[test.rows], atol=1e-6)
    np.testing.assert_array_equal(tail.logits, np.asarray(bench.activations.logits)[test.rows])
    np.testing.assert_array_equal(stream.logits, tail.logits)
    whole = bench.tail(bench.scoring, "zero").swing
    np.testing.assert_array_equal(whole, neurons[bench.scoring.rows])
    zero = bench.stream(bench.scoring, "zero")[0].swing
    np.testing.assert_array_equal(zero, np.asarray(bench.activations.resid_post)[test.rows])
