"""Formulas, circuits, products of waves, spaces and symmetry: what the book measures of a run."""

import jax
import numpy as np
import oracles
import pytest
from tiny import untrained

from miiii_book import circuits, products, rules, symmetry
from miiii_book.circuits import BROKEN, HeldOut
from miiii_book.claims import waves as spaces
from miiii_book.claims.neurons import public_code_omega
from miiii_book.results import Training
from miiii_core.addition import measures
from miiii_core.config import TaskConfig, is_prime
from miiii_core.interventions import ablate, logits_with
from miiii_core.model import logit_map
from miiii_core.tasks import make_task, primes_below
from miiii_core.waves import project

TASK = make_task(TaskConfig(p=11, n_validation=20), jax.random.key(0))
N = np.arange(121)


# Accuracy above guessing.


def test_what_is_left_is_counted_above_guessing():
    task, rows = untrained()[0], np.arange(20)
    columns = zip(task.class_sizes, task.targets.T, strict=True)
    right = np.concatenate([np.eye(q)[answers] for q, answers in columns], axis=1)
    found = HeldOut.of(task, right, rows)
    assert found.whole.tolist() == [1, 1, 1]
    for guess, answers in zip(found.guess, task.targets[rows].T, strict=True):
        assert guess == max(np.mean(answers == c) for c in range(5))
    changed = right[rows].copy()
    changed[:10, :2] = changed[:10, 1::-1]  # half of the answers to n mod 2 are wrong now
    left = found.left(changed)
    assert left[0] == pytest.approx((0.5 - found.guess[0]) / (1 - found.guess[0]))
    assert left[1:].tolist() == [1, 1]
    assert found.left_of(1, np.full((20, 3), np.nan)) < 0  # not a number is never right


# Breaking a task.


def planted_tail(swing, writes, targets):
    """The end of a network that is right on all inputs, for tasks of two classes each."""
    guess = np.maximum(targets.mean(axis=0), 1 - targets.mean(axis=0))
    columns = tuple(slice(2 * i, 2 * i + 2) for i in range(len(guess)))
    held = HeldOut(np.arange(len(targets)), targets, columns, guess, np.ones(len(guess)))
    return circuits.Tail(swing, writes, swing @ writes, held)


def test_the_neurons_of_a_task_are_found_and_no_others():
    """Two neurons serve the first of two tasks, two the second, and four none."""
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 2, (40, 2))
    swing = np.hstack([np.repeat(2.0 * targets - 1, 2, axis=1), generator.normal(size=(40, 4))])
    writes = np.zeros((8, 4))
    writes[:2, :2] = writes[2:4, 2:] = [-1, 1]
    tail = planted_tail(swing, writes, targets)
    sets = [circuits.breaking_set(tail, circuits.evidence(tail), i) for i in (0, 1)]
    assert [sorted(s) for s in sets] == [[0, 1], [2, 3]]
    result = circuits.selectivity(tail, sets)
    assert (result.own <= BROKEN).all() and result.others.tolist() == [1, 1]
    assert result.controls.shape == (rules.DRAWS, 2, 2)
    # They may hit the other task, and not the one whose neurons they are beside.
    assert (result.controls[:, [0, 1], [0, 1]] == 1).all()


@pytest.mark.parametrize("needed", [1, 2, 9, 10, 64, 95, 100])
def test_the_smallest_set_has_no_neuron_too_many(needed):
    """A task that the first so many of 200 neurons carry, each a little: all must go."""
    targets = np.tile([[0], [1]], (10, 1))
    swing = np.zeros((20, 200))
    swing[:, :needed] = 2.0 * targets - 1
    swing[:, needed - 1] *= 1.5 * needed  # until the last of them goes the answers are right
    tail = planted_tail(swing, np.tile([-1.0, 1.0], (200, 1)), targets)
    found = circuits.smallest_set(tail, 0, np.arange(200))
    assert found.tolist() == list(range(needed))


@pytest.fixture(scope="module")
def bench(tiny_run):
    return circuits.lay_out(tiny_run)


def test_the_linear_tail_is_the_edit_of_the_network(bench):
    run, rows = bench.run, bench.scoring.rows
    for removed in ([], [2], [0, 5, 9, 15]):
        edit = ablate(bench.activations, "neurons", removed)
        expected = logits_with(run.model, run.task, edit, rows)
        found = bench.neurons(bench.scoring).without(np.array(removed, int))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 3)))[0].T

    def project_out(stream):
        return stream - (stream - stream.mean(axis=0, keepdims=True)) @ basis.T @ basis

    expected = np.asarray(logits_with(run.model, run.task, {"resid_post": project_out}))[rows]
    found = bench.stream(bench.scoring).without(basis)
    for own in run.task.columns:  # what moves all classes of a task alike is left out
        gap = found[:, own] - expected[:, own]
        np.testing.assert_allclose(gap, np.repeat(gap[:, :1], gap.shape[1], axis=1), atol=1e-4)


def test_random_parts_have_nothing_of_what_was_chosen():
    chosen, basis = np.array([3, 0, 7]), np.eye(8)[:3]
    for seed in range(20):
        other = circuits.random_like(chosen, 10, np.random.default_rng(seed))
        assert len(set(other)) == 3 and not set(other) & set(chosen)
        drawn = circuits.random_like(basis, 8, np.random.default_rng(seed))
        np.testing.assert_allclose(drawn @ np.vstack([drawn, basis]).T, np.eye(3, 6), atol=1e-9)


def test_evidence_is_the_fall_of_the_right_logit_when_a_neuron_goes(bench):
    held, tail = bench.scoring, bench.neurons(bench.scoring)
    found, rows = circuits.evidence(tail), np.arange(len(held.rows))

    def mean_right(logits):
        parts = zip(held.columns, held.targets.T, strict=True)
        return np.array([(logits[rows, c.start + y] - logits[:, c].mean(axis=1)).mean()
                         for c, y in parts])  # fmt: skip

    for removed in ([0], [7], [2, 7, 11]):
        fall = mean_right(tail.logits) - mean_right(tail.without(np.array(removed)))
        np.testing.assert_allclose(found[removed].sum(axis=0), fall, rtol=1e-3, atol=1e-5)


def test_sets_and_spaces_are_chosen_on_other_inputs_than_they_are_scored_on(bench, tiny_run):
    assert set(bench.choosing.rows) <= set(tiny_run.task.train)
    assert not set(bench.scoring.rows) & set(tiny_run.task.train)
    assert circuits.lay_out(tiny_run) is bench
    for found in (circuits.break_by_neurons(bench), circuits.break_by_subspaces(bench)):
        assert found.left.shape == (3, 3) and found.controls.shape == (rules.DRAWS, 3, 3)


def test_the_fewest_directions_that_break_a_task_are_taken(bench):
    tail = bench.stream(bench.choosing)
    for i, own in enumerate(tail.held.columns):
        basis = circuits.smallest_basis(tail, i)
        np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-9)
        left = [tail.held.left(tail.without(basis[:rank]))[i] for rank in range(len(basis) + 1)]
        assert min(left[:-1]) > BROKEN
        assert left[-1] <= BROKEN or len(basis) == min(own.stop - own.start - 1, 4)


def test_a_sieve_is_compared_with_the_primes_there_are(bench):
    found = circuits.sieve_numbers(bench, circuits.break_by_subspaces(bench).parts)
    assert found.prime.tolist() == [is_prime(n) for n in range(49)]
    zero = [z.argmax(axis=1) == 0 for z in np.split(bench.activations.logits, [2, 5], axis=1)]
    own = N[:49, None] == np.array([2, 3, 5])
    called = ~(np.stack(zero, axis=1) & ~own).any(axis=1) & (N[:49] > 1)
    assert found.called.tolist() == called.tolist()
    assert not (found.slipped & (found.called | found.prime)).any()
    precision, recall = found.precision_recall(N[:49])
    assert precision * called.sum() == pytest.approx(recall * found.prime.sum())
    assert np.flatnonzero(found.guarded[2]).tolist() == [25, 35]  # 5·7, as 7 is no modulus


# Formulas.


def planted(noise=0.0):
    """Logits cos(2π(n - c)/q) of every task, and noise."""
    logits = np.hstack([np.cos(2 * np.pi * (N[:, None] - np.arange(q)) / q) for q in TASK.moduli])
    return logits + noise * np.random.default_rng(0).normal(size=logits.shape)


def test_coefficients_are_those_of_dense_least_squares_on_the_rows_given():
    rows, logits = np.array([3, 8, 20, 21, 50, 77, 90, 120]), planted(noise=0.7)
    for found, own in zip(rules.fit_formulas(logits, TASK, rows), TASK.columns, strict=True):
        q = found.modulus
        values = logits[rows, own] - logits[rows, own].mean(axis=0)
        gap = (rows[:, None] - np.arange(q)).ravel()[:, None] * np.arange(1, q // 2 + 1)
        waves = np.cos(2 * np.pi * gap / q)
        dense = np.linalg.lstsq(waves, values.ravel(), rcond=None)[0]
        np.testing.assert_allclose(found.cos, dense, atol=1e-9)


def test_a_network_of_cosines_is_the_formula():
    for found, own in zip(rules.fit_formulas(planted(), TASK, N), TASK.columns, strict=True):
        assert found.used.tolist() == [1]
        np.testing.assert_allclose(found.of(N), planted()[:, own], atol=0.03)
    found = rules.trial(planted(noise=0.01), TASK)
    np.testing.assert_allclose([found.network, found.formula], 1, rtol=1e-6)
    assert (found.explained > 0.95).all()


def test_what_is_known_by_heart_is_no_formula():
    """Right on the inputs trained on, noise elsewhere: nothing can be predicted."""
    logits = np.random.default_rng(2).normal(size=(121, 17))
    for own, answers in zip(TASK.columns, TASK.targets.T, strict=True):
        logits[TASK.train, own.start + answers[TASK.train]] += 50
    found = rules.trial(logits, TASK)
    assert (found.explained < 0.1).all() and found.network.mean() < 0.6


@pytest.mark.parametrize("name", ["divisible", "nanda"])
def test_formulas_and_clusters_of_something_else_are_refused(name):
    other = make_task(TaskConfig(name=name, p=11, n_validation=20), jax.random.key(0))
    logits, why = np.zeros((121, other.n_classes)), f"T_{name} are no remainders of n; give T_miiii"
    with pytest.raises(ValueError, match=why):
        rules.fit_formulas(logits, other, N)
    with pytest.raises(ValueError, match=why):
        products.remainder_clusters(other, logits, logits[:1])


def test_the_standing_of_a_rule_is_that_of_plain_loops():
    logits = np.random.default_rng(3).normal(size=(121, 17)) + planted(noise=0.2)
    logits[TASK.train, 0] += 3.0
    found = rules.standing(logits, TASK)
    unseen = np.concatenate([TASK.validation, TASK.test])
    for i, (q, own) in enumerate(zip(TASK.moduli, TASK.columns, strict=True)):
        values = logits[:, own] - logits[:, own].mean(axis=1, keepdims=True)
        means = [np.mean([values[n, (n - d) % q] for n in unseen]) for d in range(q)]
        rest = [values[n, (n - d) % q] - means[d] for n in unseen for d in range(q)]
        heart = np.mean([values[n, n % q] for n in TASK.train]) - means[0]
        assert found.margin[i] == pytest.approx((means[0] - max(means[1:])) / np.std(rest))
        assert found.by_heart[i] == pytest.approx(heart)


def test_one_remainder_of_q_takes_all_frequencies_and_a_wave_takes_one():
    exact, wave = np.eye(7)[0], np.cos(2 * np.pi * 2 * np.arange(7) / 7)
    assert rules.frequencies_used(exact) == pytest.approx(3)
    assert rules.frequencies_used(wave) == pytest.approx(1)
    assert rules.frequencies_used(np.zeros(7)) == 0


# Products of waves.

P, Q, K, COUNT = 53, 11, 3, 8
WIDE = make_task(TaskConfig(p=P, n_validation=50), jax.random.key(0))
PHASES = np.arange(COUNT) * 2 * np.pi / COUNT + 0.1


def product_neuron(q, k, first, second):
    """(1 + cos α0)(1 + cos α1) over all inputs, at the frequencies that n mod q asks for."""
    x0, x1 = WIDE.digits.T
    turn = 2 * np.pi / q
    return (1 + np.cos(turn * k * x0 + first)) * (1 + np.cos(turn * (P * k % q) * x1 + second))


def planted_products():
    """A ring of neurons that write what they compute, two of another wave, and one of noise."""
    ring = [product_neuron(Q, K, 2 * phase, -phase) for phase in PHASES]
    pair = [product_neuron(7, 1, 0.3, 0.4), product_neuron(7, 1, 1.3, 0.4)]
    noise = np.random.default_rng(0).random(P**2)
    neurons = np.stack([*ring, np.zeros(P**2), *pair, noise], axis=1)
    writes = np.zeros((neurons.shape[1], WIDE.n_classes))
    classes = 2 * np.pi * K * np.arange(Q) / Q
    writes[:COUNT, WIDE.columns[WIDE.moduli.index(Q)]] = np.cos(classes[None] + PHASES[:, None])
    return neurons, writes


def test_planted_clusters_are_found_with_what_they_do():
    pair, ring = products.remainder_clusters(WIDE, *planted_products())
    assert [(c.modulus, c.frequency) for c in (pair, ring)] == [(7, 1), (Q, K)]
    assert pair.neurons.tolist() == [COUNT + 1, COUNT + 2]
    assert ring.neurons.tolist() == list(range(COUNT))
    assert ring.locked().min() > 0.99 and np.median(ring.locked(1)) < 0.7
    assert products.alignment(ring.total, ring.digits.prod(axis=1)) > 0.99
    assert ring.aligned() > 0.99
    assert ring.aligned(1) == pytest.approx(np.cos(2 * np.pi / COUNT), abs=0.01)
    alone = ring.patterns(together=False)
    np.testing.assert_allclose(alone, (0.25, 0, 0.25, 0.5), atol=0.03)
    assert ring.patterns(together=True).wanted > 0.99
    assert pair.patterns(together=True).wanted == 0  # writes nothing


def test_noise_has_no_clusters_and_phases_of_noise_a_quarter_of_the_products():
    noise = np.random.default_rng(4).random((P**2, 6))
    assert products.remainder_clusters(WIDE, noise, planted_products()[1][:6]) == []
    draw = np.random.default_rng(1)
    waves = [draw.normal(size=2000) + 1j * draw.normal(size=2000) for _ in range(5)]
    digits = np.stack(waves[:2], axis=1)
    one = products.Cluster(P, 1, np.arange(2000), digits, *waves[2:])
    assert abs(one.locked().mean() - 0.25) < 0.02


def test_clusters_of_addition_are_the_neurons_of_its_key_frequencies(tiny_addition):
    found = measures(tiny_addition, draws=1)  # which has no key frequencies, being so small
    found = found._replace(key=(1, 2, 3), share=np.ones_like(found.share))
    clusters = products.addition_clusters(tiny_addition, found)
    assert [c.frequency for c in clusters] == list(found.key)
    writes = logit_map(tiny_addition.model)
    assert sum(len(one.neurons) for one in clusters) == (found.frequency > 0).sum() > 0
    for one in clusters:
        assert (found.frequency[one.neurons] == one.frequency).all()
        angles = np.angle(np.fft.fft(writes[one.neurons], axis=1)[:, one.frequency])
        np.testing.assert_allclose(np.cos(np.angle(one.written) - angles), 1)


# Spaces of tasks in the stream.


@pytest.mark.parametrize("same, overlap", [(True, 6 / 2), (False, 0)])
def test_planes_are_found_and_overlap_as_planted(same, overlap):
    values = np.zeros((121, 6), np.float32)
    for place, q in ((0, 5), (0 if same else 2, 7)):
        values[:, place] += np.cos(2 * np.pi * 2 * N / q)
        values[:, place + 1] += np.sin(2 * np.pi * 2 * N / q)
    bases = spaces.task_spaces(project(values, TASK.moduli), TASK.moduli)[2:]
    assert [len(basis) for basis in bases] == [2, 2]
    assert spaces.overlaps(bases)[0] == pytest.approx(overlap, abs=1e-3)


def test_overlaps_by_hand_and_by_chance():
    """Two planes of four dimensions that share a line, and a line outside both."""
    eye = np.eye(4)
    np.testing.assert_allclose(spaces.overlaps([eye[:2], eye[1:3], eye[3:]]), [1, 0, 0])
    draws = [spaces.random_overlaps([3, 5, 2], 20, np.random.default_rng(s)) for s in range(200)]
    assert np.mean(draws) == pytest.approx(1, abs=0.1)
    assert spaces.counted(np.array([1.0, 5.0, 4.0])) == 2
    assert spaces.counted(np.zeros(3)) == 0


# Symmetric digits.

BASES = (23, 29, 31, 37, 43)


def bases_with(octaves, *, noise=0.0, seed=0):
    """Trainings that depend on base and class count, sooner where digits are symmetric."""
    generator, found = np.random.default_rng(seed), {}
    for p in BASES:
        primes = primes_below(p)
        late = p / 20 + np.sqrt(primes) - octaves * symmetry.symmetric_digits(p, primes)
        epochs = 2.0 ** (late + noise * generator.normal(size=len(primes)))
        found[p] = Training(epochs, 10**9)
    return found


@pytest.mark.parametrize("p", [7, 31, 113])
def test_symmetric_digits_may_be_exchanged_but_for_the_sign(p):
    x0, x1 = np.meshgrid(np.arange(p), np.arange(p))
    for q, may in zip(primes_below(p), symmetry.symmetric_digits(p, primes_below(p)), strict=True):
        n, exchanged = (x0 + p * x1) % q, (x1 + p * x0) % q
        assert may == ((n == exchanged).all() or (n == -exchanged % q).all())


@pytest.mark.parametrize("octaves", [1.5, 0.0, -0.5])
def test_a_lead_is_found_whatever_base_and_class_count_do(octaves, monkeypatch):
    monkeypatch.setattr(symmetry, "DRAWS", 50)
    found = symmetry.lead_of(bases_with(octaves))
    assert found.octaves == pytest.approx(octaves, abs=1e-9)
    assert 0 < found.symmetric < sum(len(primes_below(p)) - 2 for p in BASES)


def test_chance_is_told_from_a_lead(monkeypatch):
    monkeypatch.setattr(symmetry, "DRAWS", 200)
    assert symmetry.lead_of(bases_with(1.5, noise=0.3)).p_value < 0.01
    by_chance = [symmetry.lead_of(bases_with(0, noise=0.3, seed=s)).p_value for s in range(20)]
    assert 0.2 < np.mean(by_chance) < 0.8


def test_bases_without_a_prime_that_changes_sides_cannot_tell():
    bases = {p: Training(np.ones(len(primes_below(p))), 100) for p in (7, 11)}
    assert symmetry.lead_of(bases) is symmetry.lead_of({7: bases[7]}) is None


# What is recorded of snapshots.


def test_planted_waves_are_counted_and_noise_is_not():
    draw = np.random.default_rng(1)
    fives, sevens = (np.cos(2 * np.pi * N[:, None] / q + draw.uniform(0, 6, 40)) for q in (5, 7))
    noise, zeros = draw.normal(size=(121, 200)), np.zeros((121, 3))
    found, nothing, blank = (
        spaces.count_waves(values.astype(np.float32), (2, 3, 5, 7), draw)
        for values in (fives + sevens, noise, zeros)
    )
    assert found["active"] == pytest.approx(2, abs=0.4)
    assert found["by_chance"] < 0.3 and nothing["active"] < 0.3
    assert len(blank) == 3 and not any(blank.values())


def test_public_omega_follows_the_public_code():
    epochs = np.array([0, 1, 2, 4, 8, 16, 32, 64, 128])
    power = np.random.default_rng(3).normal(size=(9, 12, 12)) ** 2
    power[5:, 3, 4] += 60.0
    columns, _, labels = oracles.public_omega(power, epochs)
    last = [max(i for i, c in enumerate(columns) if c <= epoch or i == 0) for epoch in epochs]
    np.testing.assert_array_equal(public_code_omega(power, epochs), labels[last])
    assert not public_code_omega(np.zeros((3, 4, 4)), np.array([1, 10, 100])).any()


def test_what_came_with_a_run_is_not_measured_again(tiny_run, monkeypatch):
    epochs, counts = spaces.wave_history(tiny_run)
    assert epochs.tolist() == list(tiny_run.snapshot_epochs)
    neurons = tiny_run.model.activations(tiny_run.task.digits).neurons
    last = spaces.count_waves(neurons, tiny_run.task.moduli, np.random.default_rng(0))
    assert {name: values[-1] for name, values in counts.items()} == pytest.approx(last)
    told = {"counts/active": np.array([1.0, 5.0]), spaces.EPOCHS: np.array([2, 4])}
    monkeypatch.setitem(vars(tiny_run), "metrics", dict(tiny_run.metrics) | told)
    epochs, counts = spaces.wave_history(tiny_run)
    assert epochs.tolist() == [2, 4] and counts["active"].tolist() == [1, 5]
