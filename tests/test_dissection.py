import numpy as np

from miiii_core.circuits import dissection, paths
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


def test_the_smallest_circuit_is_scored_on_inputs_held_out(tiny_run):
    bench = dissection.lay_out(tiny_run)
    search = dissection.search_circuits(bench, groups=2)
    every = np.arange(49)
    members = paths.neuron_groups(bench.share, tiny_run.task.moduli, 2)
    whole = paths.take_apart(
        bench.activations, tiny_run.model, tiny_run.task.digits, members, every
    )
    for i, number in enumerate(search.found.smallest):
        gates = np.array([(number >> bit) & 1 for bit in range(len(whole.names))], np.float32)
        logits = paths.gated_logits(whole, tiny_run.model, gates)[bench.scoring.rows]
        expected = bench.scoring.left(logits)[i] if number >= 0 else np.nan
        np.testing.assert_allclose(search.held_out[i], expected, atol=1e-6)
