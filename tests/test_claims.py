import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from miiii_core import claims, runs
from miiii_core.addition.published import NANDA
from miiii_core.analysis.progress import fourier_gini
from miiii_core.claims import (
    LEDGER,
    Finding,
    Measure,
    Verdict,
    decide,
    examine,
    find_claim,
    hyperparameters,
    larger_base,
    variations,
)
from miiii_core.claims.attention import heads
from miiii_core.claims.bases import Training
from miiii_core.claims.circuit import FORMS
from miiii_core.claims.embeddings import best_frequency_share, frequencies_for
from miiii_core.claims.learning import settled_at
from miiii_core.claims.neurons import PARTS, explained_by_difference, records_at, spiked
from miiii_core.claims.page import numbers
from miiii_core.config import Config
from miiii_core.milestones import NEVER, Curve
from miiii_core.presets import preset
from miiii_core.spaces import TABLE_1, neighbours
from miiii_core.storage.saved import Run
from miiii_core.tasks import primes_below

YES, PARTLY, NO, OPEN = Verdict

# Numbers that fulfil each criterion, and changes of them with the verdict that follows.
CRITERIA = {
    "hyperparameters": (
        {"fields": 6, "fields in which one ends higher": 0},
        [
            ({"fields in which one ends higher": 2}, PARTLY),
            ({"fields in which one ends higher": 3}, NO),
        ],
    ),
    "all-tasks": (
        {"tasks": 29, "tasks at 0.999": 29, "tasks at 0.99": 29},
        [
            ({"tasks at 0.999": 28}, PARTLY),
            ({"tasks at 0.999": 28, "tasks at 0.99": 26}, NO),
        ],
    ),
    "order": (
        {
            "p": 113,
            "epoch of mod 2": 100,
            "epoch of mod 3": 100,
            "epoch of mod 5": 300,
            "epoch of mod 7": 400,
            "first of the others": 500,
            "median of the others": 40_000,
            "p-value of that": 0.5,
        },
        [
            ({"first of the others": 399}, PARTLY),
            ({"epoch of mod 5": 401}, PARTLY),
            ({"p-value of that": 0.01}, PARTLY),
            ({"median of the others": 10_000}, PARTLY),
            ({"median of the others": 10_000, "p": 31}, YES),
            ({"median of the others": NEVER, "p": 31}, PARTLY),
            ({"epoch of mod 7": NEVER}, OPEN),
            (
                {
                    "epoch of mod 2": 900,
                    "median of the others": 5,
                    "p-value of that": 0.01,
                },
                NO,
            ),
        ],
    ),
    "filter": (
        {"mean validation accuracy": 0.99, "the same without filter": 0.7},
        [
            ({"the same without filter": 0.985}, PARTLY),
            ({"the same without filter": 0.995}, NO),
            ({"mean validation accuracy": 0.97}, OPEN),
        ],
    ),
    "dropout": (
        {
            "least training accuracy": 1.0,
            "tasks generalised": 29,
            "tasks generalised without dropout": 2,
            "those beside 2 and 3": 0,
        },
        [
            ({"those beside 2 and 3": 1}, PARTLY),
            ({"tasks generalised without dropout": 3, "those beside 2 and 3": 1}, PARTLY),
            ({"tasks generalised without dropout": 29, "those beside 2 and 3": 27}, NO),
            ({"least training accuracy": 0.9}, OPEN),
            ({"tasks generalised": 2}, OPEN),
        ],
    ),
    "masked": (
        {
            "last of 11, 13, 17, 19": 800,
            "first of the larger": 800,
            "median of the larger": 1200,
            "the same with all tasks": 1000,
            "spike": 1.2,
            "spike with all tasks": 1.3,
        },
        [
            ({"first of the larger": 700}, PARTLY),
            ({"spike": 1.4}, PARTLY),
            ({"median of the larger": 1300}, PARTLY),
            ({"first of the larger": 7, "spike": 2, "median of the larger": NEVER}, NO),
            ({"the same with all tasks": NEVER}, OPEN),
            ({"last of 11, 13, 17, 19": NEVER}, OPEN),
        ],
    ),
    "gradients": (
        {"attention settles after epoch": 500, "the rest settles after epoch": 1000},
        [
            ({"attention settles after epoch": 600}, PARTLY),
            ({"attention settles after epoch": 1000}, NO),
        ],
    ),
    "positions": (
        {"Pearson, T_nanda": 0.95, "Pearson, T_miiii": -0.64},
        [
            ({"Pearson, T_nanda": 0.4}, PARTLY),
            ({"Pearson, T_miiii": 0.1}, PARTLY),
            ({"Pearson, T_nanda": 0.4, "Pearson, T_miiii": 0.1}, NO),
        ],
    ),
    "singular-values": (
        {
            "the same over p, 50 %, T_nanda": 0.1,
            "the same over p, 50 %, T_miiii": 0.3,
            "the same over p, 90 %, T_nanda": 0.2,
            "the same over p, 90 %, T_miiii": 0.6,
        },
        [
            ({"the same over p, 90 %, T_miiii": 0.2}, PARTLY),
            ({"the same over p, 90 %, T_miiii": 0.2, "the same over p, 50 %, T_nanda": 0.3}, NO),
        ],
    ),
    "singular-vectors": (
        {
            "vectors over p, T_nanda": 0.05,
            "vectors over p, T_miiii": 0.2,
            "best frequency's share, T_nanda": 0.9,
            "largest in random order, T_nanda": 0.1,
            "best frequency's share, T_miiii": 0.5,
            "largest in random order, T_miiii": 0.1,
        },
        [
            ({"best frequency's share, T_miiii": 0.1}, PARTLY),
            ({"vectors over p, T_miiii": 0.05}, PARTLY),
            (
                {
                    "best frequency's share, T_miiii": 0.1,
                    "best frequency's share, T_nanda": 0.1,
                    "vectors over p, T_miiii": 0.05,
                },
                NO,
            ),
        ],
    ),
    "embedding-spectra": (
        {
            "share for 90 %, T_nanda": 0.1,
            "share for 90 %, T_miiii": 0.6,
            "Gini, T_miiii": 0.5,
            "largest Gini in random order, T_miiii": 0.2,
            "Gini, T_basis": 0.11,
            "mean Gini in random order, T_basis": 0.1,
        },
        [
            ({"share for 90 %, T_nanda": 0.3}, PARTLY),
            ({"Gini, T_miiii": 0.2}, PARTLY),
            ({"Gini, T_basis": 0.2}, PARTLY),
            (
                {
                    "share for 90 %, T_nanda": 0.3,
                    "share for 90 %, T_miiii": 0.2,
                    "Gini, T_basis": 0.2,
                },
                NO,
            ),
        ],
    ),
    "periodic-neurons": (
        {
            "best block, T_miiii": 0.6,
            "in random order, T_miiii": 0.2,
            "best block, T_basis": 0.2,
            "in random order, T_basis": 0.2,
        },
        [
            ({"best block, T_miiii": 0.45}, NO),
            ({"in random order, T_miiii": 0.3}, NO),
            ({"best block, T_basis": 0.6}, NO),
        ],
    ),
    "spike": (
        {"spike": 1, "spike, public code": 1},
        [
            ({"spike": 0}, PARTLY),
            ({"spike": 0.5}, PARTLY),
            ({"spike": 0.5, "spike, public code": 0.5}, NO),
        ],
    ),
    "spike-time": (
        {
            "first task generalises (epoch)": 256,
            "last task generalises (epoch)": 60_000,
            "peak at epoch, ours": 256,
            "peak at epoch, public code": 60_000,
            **{
                f"{rule}1/{n}{end}": count
                for rule, end in (("at ", " of the epochs"), ("public code, ", ""))
                for n, count in zip(PARTS, (0, 0.9, 1, 18, 10), strict=True)
            },
        },
        [
            ({"peak at epoch, ours": 255}, PARTLY),
            ({"peak at epoch, public code": 60_001}, PARTLY),
            ({"at 1/256 of the epochs": 1}, PARTLY),
            ({"at 1/64 of the epochs": 1}, PARTLY),
            ({"at 1/16 of the epochs": 0.9}, PARTLY),
            ({"public code, 1/16": 18}, PARTLY),
            ({"public code, 1/1": 18}, PARTLY),
            ({"peak at epoch, ours": 255, "public code, 1/4": 1}, NO),
            (
                {
                    "first task generalises (epoch)": NEVER,
                    "last task generalises (epoch)": NEVER,
                },
                OPEN,
            ),
        ],
    ),
    "reuse": (
        {"spike": 1, "before over after": 1.0},
        [
            ({"before over after": 0.7}, NO),
            ({"before over after": 1.3}, NO),
            ({"spike": 0}, OPEN),
            ({"spike": 0.5}, OPEN),
        ],
    ),
    "mechanism": (
        {
            "tasks generalised": 29,
            "logits explained by n - c": 0.95,
            "of the interaction, n mod q": 0.9,
        },
        [
            ({"logits explained by n - c": 0.8}, PARTLY),
            ({"logits explained by n - c": 0.8, "of the interaction, n mod q": 0.4}, NO),
            ({"tasks generalised": 0}, OPEN),
        ],
    ),
    "attention": (
        {
            "heads, T_miiii": 4,
            "on one digit, T_miiii": 4,
            "on both and periodic, T_nanda": 1,
        },
        [
            ({"on one digit, T_miiii": 3}, PARTLY),
            ({"on one digit, T_miiii": 3, "on both and periodic, T_nanda": 0}, NO),
        ],
    ),
    "attention-little": (
        {
            "accuracy, T_nanda": 1.0,
            "accuracy with patterns fixed, T_nanda": 0.96,
            "accuracy, T_miiii": 1.0,
            "accuracy with patterns fixed, T_miiii": 0.96,
        },
        [
            ({"accuracy with patterns fixed, T_nanda": 0.9}, PARTLY),
            (
                {
                    "accuracy with patterns fixed, T_nanda": 0.9,
                    "accuracy with patterns fixed, T_miiii": 0.9,
                },
                NO,
            ),
        ],
    ),
}
CRITERIA["nanda-circuit"] = (
    {known.what: float(known.value) for known in NANDA.values()} | {FORMS: 1},
    [
        ({FORMS: 0}, PARTLY),
        ({FORMS: 0.5}, PARTLY),
        ({NANDA["logits_explained"].what: 0.5}, PARTLY),
        ({NANDA["formed"].what: math.nan}, PARTLY),
        ({NANDA["key_frequencies"].what: 0.0}, OPEN),
        (
            {known.what: math.nan for known in NANDA.values()}
            | {NANDA["key_frequencies"].what: 9.0, FORMS: 0},
            NO,
        ),
    ],
)
CRITERIA |= {
    "remainder-blocks": (
        {
            "pairs of n mod q, whole": 0.6,
            "pairs of the p-DFT, whole": 0.4,
            "largest with wrong partners, whole": 0.3,
            "pairs of n mod q, both": 0.55,
            "pairs of the p-DFT, both": 0.3,
            "largest with wrong partners, both": 0.1,
        },
        [
            ({"pairs of n mod q, both": 0.4}, PARTLY),
            ({"largest with wrong partners, whole": 0.7}, PARTLY),
            ({"pairs of n mod q, whole": 0.3, "pairs of n mod q, both": 0.2}, NO),
        ],
    ),
    "remainder-embedding": (
        {"waves of the p-DFT": 11, "waves of n mod q": 8, "least waves at random": 9},
        [({"least waves at random": 8}, PARTLY), ({"waves of n mod q": 11}, NO)],
    ),
    "spike-in-waves": (
        {"spike": 1, "spike, μ + 2σ": 1},
        [
            ({"spike": 0}, PARTLY),
            ({"spike, μ + 2σ": 0.5}, PARTLY),
            ({"spike": 0.5, "spike, μ + 2σ": 0.5}, NO),
        ],
    ),
    "one-task-neurons": (
        {
            "with a prime above chance": 100,
            "with exactly one": 50,
            "largest prime over all": 0.5,
        },
        [
            ({"with exactly one": 49}, PARTLY),
            ({"with exactly one": 49, "largest prime over all": 0.4}, NO),
            ({"with a prime above chance": 0}, OPEN),
        ],
    ),
    "few-frequencies": (
        {
            "dimensions of the stream": 256,
            "waves there are": 1451,
            "directions of all tasks": 256,
            "median overlap": 0.5,
            "least overlap by chance": 0.9,
        },
        [
            ({"directions of all tasks": 257}, PARTLY),
            ({"directions of all tasks": 257, "median overlap": 0.9}, NO),
            ({"waves there are": 119}, OPEN),
        ],
    ),
    "symmetric": (
        {
            "bases": 4,
            "symmetric tasks": 5,
            "other tasks": 25,
            "lead in octaves": 0.5,
            "p-value": 0.01,
        },
        [
            ({"p-value": 0.2}, NO),
            ({"lead in octaves": -0.5}, NO),
            ({"symmetric tasks": 0, "lead in octaves": 0.0, "p-value": 1.0}, OPEN),
        ],
    ),
    "shared-table": (
        {
            "lead in octaves": 1.0,
            "p-value": 0.01,
            "lead with digits renamed": 0.4,
            "p-value with digits renamed": 0.2,
        },
        [
            ({"lead with digits renamed": 0.6}, PARTLY),
            ({"p-value with digits renamed": 0.01}, PARTLY),
            ({"lead with digits renamed": 0.9, "p-value with digits renamed": 0.01}, NO),
            ({"p-value": 0.2}, OPEN),
            ({"lead in octaves": -1.0}, OPEN),
        ],
    ),
    "own-tables": (
        {"pairs": 9, "octaves, median": 0.5, "p-value": 0.01},
        [
            ({"octaves, median": 0.1}, PARTLY),
            ({"p-value": 0.3}, PARTLY),
            ({"octaves, median": 0.1, "p-value": 0.3}, NO),
            ({"pairs": 4}, OPEN),
        ],
    ),
    "larger-base": (
        {"tasks": 8, "of them in the larger base too": 6, "times the epoch, median": 1.5},
        [
            ({"of them in the larger base too": 5}, PARTLY),
            ({"times the epoch, median": 2.1}, PARTLY),
            ({"times the epoch, median": 0.4}, PARTLY),
            ({"of them in the larger base too": 5, "times the epoch, median": 2.1}, NO),
            ({"tasks": 4}, OPEN),
        ],
    ),
    "classes": (
        {
            "bases": 4,
            "median rank correlation": 0.7,
            "least rank correlation": 0.2,
            "bases with p below 0.05": 3,
        },
        [
            ({"bases with p below 0.05": 2}, PARTLY),
            ({"median rank correlation": 0.4}, PARTLY),
            ({"median rank correlation": 0.4, "bases with p below 0.05": 0}, NO),
        ],
    ),
    "divisible": (
        {
            "tasks that T_divisible learned": 3,
            "frequencies used by T_divisible": 0.9,
            "tasks that T_miiii learned": 9,
            "frequencies used by T_miiii": 0.5,
        },
        [
            ({"frequencies used by T_divisible": 0.7}, PARTLY),
            ({"frequencies used by T_miiii": 0.95}, PARTLY),
            ({"frequencies used by T_divisible": 0.4}, NO),
            ({"tasks that T_divisible learned": 2}, OPEN),
        ],
    ),
    "rule": (
        {"tasks solved": 10, "kept by the rule alone": 10, "broken without it": 10},
        [
            ({"kept by the rule alone": 9}, PARTLY),
            ({"broken without it": 9}, PARTLY),
            ({"kept by the rule alone": 9, "broken without it": 0}, NO),
            ({"tasks solved": 0, "kept by the rule alone": 0, "broken without it": 0}, OPEN),
        ],
    ),
    "own-neurons": (
        {
            "tasks solved": 10,
            "broken": 10,
            "of these, not by random sets": 10,
            "others spared": 10,
            "median size": 40.0,
        },
        [
            ({"others spared": 9}, PARTLY),
            ({"of these, not by random sets": 9}, PARTLY),
            ({"broken": 9, "others spared": 9}, NO),
            ({"tasks solved": 0}, OPEN),
        ],
    ),
    "own-subspace": (
        {
            "tasks solved": 10,
            "broken": 10,
            "of these, not by random sets": 10,
            "others spared": 10,
            "median size": 40.0,
        },
        [
            ({"others spared": 9}, PARTLY),
            ({"of these, not by random sets": 9}, PARTLY),
            ({"broken": 9, "others spared": 9}, NO),
            ({"tasks solved": 0}, OPEN),
        ],
    ),
    "families": (
        {
            "tasks solved": 10,
            "overlap, p = ±1": 0.3,
            "overlap, all other pairs": 0.0,
            "p-value of that": 0.01,
            "overlap, equal slope": 0.2,
            "p-value of equal slopes": 0.2,
        },
        [
            ({"p-value of that": 0.05}, PARTLY),
            ({"overlap, p = ±1": -0.01}, PARTLY),
            ({"p-value of that": 0.05, "overlap, p = ±1": -0.01}, NO),
            ({"tasks solved": 0}, OPEN),
        ],
    ),
    "smallest-circuits": (
        {
            "tasks with a circuit": 10,
            "smaller than pruning finds": 6,
            "smaller than attribution finds": 6,
            "median size": 6.0,
        },
        [
            ({"smaller than pruning finds": 5}, PARTLY),
            ({"smaller than attribution finds": 5}, PARTLY),
            ({"smaller than pruning finds": 5, "smaller than attribution finds": 0}, NO),
            ({"tasks with a circuit": 0}, OPEN),
        ],
    ),
    "prime-sieve": (
        {
            "tasks solved": 10,
            "precision on numbers held out": 0.96,
            "recall on numbers held out": 0.96,
            "of what slips, the task's own": 0.9,
            "of the task's own, slipped": 0.8,
        },
        [
            ({"precision on numbers held out": 0.9}, PARTLY),
            ({"of what slips, the task's own": 0.8}, PARTLY),
            ({"recall on numbers held out": 0.9, "of what slips, the task's own": 0.8}, NO),
            ({"tasks solved": 0}, OPEN),
        ],
    ),
    "cosine-formula": (
        {
            "tasks generalised": 29,
            "logits explained by the formula": 0.9,
            "least accuracy of the formula": 1.0,
            "accuracy left without own waves": 0.1,
            "accuracy left without others' waves": 0.95,
        },
        [
            ({"logits explained by the formula": 0.8}, PARTLY),
            ({"accuracy left without others' waves": 0.8}, PARTLY),
            (
                {
                    "logits explained by the formula": 0.8,
                    "least accuracy of the formula": 0.9,
                    "accuracy left without own waves": 0.6,
                },
                NO,
            ),
            ({"tasks generalised": 0}, OPEN),
        ],
    ),
    "wave-products": (
        {
            "share of neurons in clusters": 0.5,
            "clusters": 40,
            "phases written as computed": 0.9,
            "as computed by another neuron": 0.5,
            "wanted wave, single neurons": 0.25,
            "wanted wave, clusters": 0.9,
        },
        [
            ({"share of neurons in clusters": 0.4}, PARTLY),
            ({"phases written as computed": 0.8}, PARTLY),
            ({"as computed by another neuron": 0.6}, PARTLY),
            ({"wanted wave, clusters": 0.8}, PARTLY),
            ({"wanted wave, single neurons": 0.6}, PARTLY),
            (
                {
                    "share of neurons in clusters": 0.4,
                    "phases written as computed": 0.8,
                    "wanted wave, clusters": 0.8,
                },
                NO,
            ),
        ],
    ),
    "transient-waves": (
        {
            "waves ever present": 40,
            "transient": 10,
            "most at once": 50,
            "at the end": 40,
            "tasks": 10,
            "tasks learned": 6,
        },
        [
            ({"transient": 9}, PARTLY),
            ({"most at once": 49}, PARTLY),
            ({"transient": 9, "most at once": 49}, NO),
            ({"tasks learned": 5}, OPEN),
        ],
    ),
    "learning-circuits": (
        {
            "seeds that can tell": 5,
            "delay, transient (octaves)": 0.25,
            "delay, random (octaves)": 0.1,
            "p-value, later than nothing clamped": 0.03,
            "p-value, later than random": 0.03,
        },
        [
            ({"p-value, later than nothing clamped": 0.05}, PARTLY),
            ({"p-value, later than random": 0.05}, PARTLY),
            ({"delay, random (octaves)": 0.3}, PARTLY),
            ({"delay, transient (octaves)": 0.1}, NO),
            ({"seeds that can tell": 4}, OPEN),
        ],
    ),
    "grokfast-waves": (
        {"seeds that can tell": 5, "odds midway": 0.75, "p-value": 0.03},
        [
            ({"odds midway": 0.7}, PARTLY),
            ({"p-value": 0.1}, PARTLY),
            ({"odds midway": 0.5, "p-value": 0.5}, NO),
            ({"seeds that can tell": 4}, OPEN),
        ],
    ),
    "grokfast-controls": (
        {
            "seeds that can tell": 3,
            "ahead of: no filter, rate × (1 + λ) (octaves)": 0.3,
            "ahead of: no filter, decay × 2 (octaves)": 0.3,
            "ahead of: no filter, decay / 2 (octaves)": 0.3,
            "ahead of: no filter, β1 = α (octaves)": 0.3,
        },
        [
            ({"ahead of: no filter, β1 = α (octaves)": 0.1}, PARTLY),
            ({"ahead of: no filter, decay × 2 (octaves)": 0.1}, PARTLY),
            (
                {
                    "ahead of: no filter, decay / 2 (octaves)": -1.0,
                    "ahead of: no filter, β1 = α (octaves)": 0.0,
                },
                NO,
            ),
            ({"seeds that can tell": 2}, OPEN),
        ],
    ),
}
TESTABLE = [claim for claim in LEDGER if claim.measures]


def by_key(claim):
    return claim.key


def test_keys_are_unique_and_every_testable_claim_has_its_criterion_tested():
    keys = [claim.key for claim in LEDGER]
    assert len(set(keys)) == len(keys)
    assert {claim.key for claim in TESTABLE} == set(CRITERIA)


@pytest.mark.parametrize("claim", TESTABLE, ids=by_key)
def test_each_criterion_can_be_met_and_missed(claim):
    good, changes = CRITERIA[claim.key]
    assert claim.judge(good) is YES
    for change, verdict in changes:
        assert set(change) <= set(good)
        assert claim.judge(good | change) is verdict, change
    assert NO in {verdict for _, verdict in changes}


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    """A short run whose tasks have all the primes that claims speak of."""
    from tiny import TINY

    config = TINY.replace(p=23, n_validation=100)
    return runs.train(config, tmp_path_factory.mktemp("claims") / "small", progress=False)


@pytest.fixture(scope="module")
def addition_run(tmp_path_factory):
    """A short run of modular addition."""
    from tiny import TINY

    config = TINY.replace(name="nanda", p=23, n_validation=100)
    return runs.train(config, tmp_path_factory.mktemp("claims") / "addition", progress=False)


@pytest.mark.parametrize("claim", TESTABLE, ids=by_key)
def test_a_claim_measures_what_it_is_judged_by(claim, small_run, addition_run, monkeypatch):
    monkeypatch.setattr(hyperparameters, "stored_neighbours", all_neighbours)
    for of in ("trainings_of", "renamed_of"):
        monkeypatch.setattr(variations, of, two_bases)
    monkeypatch.setattr(larger_base, "trainings_of", two_bases)
    kinds = {kind: [small_run] for kind in claim.needs}
    found = examine(claim, kinds | {"nanda": [addition_run]})
    assert found.verdict in Verdict and not found.missing
    asked = set(CRITERIA[claim.key][0])
    assert asked | set(claim.published) | set(claim.shown) <= set(found.values)
    # A phase that cannot be placed has no epoch; all else is a number.
    blank = {name for name, value in found.values.items() if math.isnan(value)}
    assert all("(epoch)" in name for name in blank)


def two_bases(runs):
    """Two seeds in two bases in which tasks were learned in the order of their size."""
    return [
        Training(p, seed, np.array(primes_below(p), float), 64) for p in (23, 29) for seed in (0, 1)
    ]


def all_neighbours(config):
    """Every neighbour of a configuration, none of which learns anything."""
    steps = set(neighbours(config, TABLE_1)) - set(hyperparameters.APART)
    flat = Curve(np.array([0, 1]), np.zeros(2))
    return [hyperparameters.Neighbour(field, value, 0, flat) for field, value in steps]


@pytest.mark.parametrize("claim", [c for c in TESTABLE if not c.ours], ids=by_key)
def test_a_line_about_a_claim_of_the_paper_shows_numbers(claim):
    assert claim.published or claim.shown
    assert not set(claim.published) & set(claim.shown)
    said = {name: float(number) for number, name in enumerate((*claim.published, *claim.shown))}
    found = Finding(
        claim=claim, verdict=NO, values=said, spread={name: (1.0,) for name in said}, by_seed={}
    )
    page = claims.Ledger([found], {})._repr_html_()
    assert page.count(" → ") == len(said) + 1  # and the head
    assert page.count("– → ") == len(claim.shown)


@pytest.mark.parametrize("claim", LEDGER, ids=by_key)
def test_without_its_runs_a_claim_is_open(claim):
    found = examine(claim, {})
    assert found.verdict is OPEN and set(found.missing) == set(claim.needs)


def at(*epochs):
    """Runs, seed by seed, of which only the epoch is looked at."""
    return [
        Run(Path("nowhere"), {"epoch": epoch}, Config().replace(seed=seed))
        for seed, epoch in enumerate(epochs)
    ]


def sized(p, epoch=0, name="miiii"):
    """A run of which the base, the task and the epoch are looked at."""
    return Run(Path("nowhere"), {"epoch": epoch}, Config().replace(p=p, name=name))


class TestBases:
    gap = Measure(needs=("a", "b"), of=lambda a, b: {"gap": b.epoch - a.epoch})
    claim = dataclasses.replace(
        find_claim("filter"), measures=(gap,), judge=lambda values: decide(values["gap"] > 2)
    )

    def test_the_largest_base_testifies_that_all_kinds_have(self):
        evidence = {"a": [sized(113, 1), sized(31, 2)], "b": [sized(31, 9)]}
        found = examine(self.claim, evidence)
        assert found.bases == (31,) and found.values == {"gap": 7}
        both = examine(self.claim, evidence | {"b": [sized(113, 5), sized(31, 9)]})
        assert both.bases == (113,) and both.values == {"gap": 4}

    def test_kinds_without_a_base_in_common_are_not_compared(self):
        found = examine(self.claim, {"a": [sized(113)], "b": [sized(31)]})
        assert found.verdict is OPEN and found.missing == ("b at p = 113",)

    def test_another_task_may_have_another_base_and_has_the_same_if_it_can(self):
        evidence = {"a": [sized(113, 1)], "b": [sized(53, 9, "nanda")]}
        assert examine(self.claim, evidence).bases == (53, 113)
        nearer = examine(self.claim, {**evidence, "b": [sized(113, 5, "nanda"), *evidence["b"]]})
        assert nearer.bases == (113,) and nearer.values == {"gap": 4}


def test_runs_of_a_kind_are_measured_at_once_where_they_are_compared():
    span = Measure(
        needs=("a",), of=lambda *runs: {"span": runs[-1].epoch - runs[0].epoch}, together=True
    )
    claim = dataclasses.replace(
        find_claim("filter"), measures=(span,), judge=lambda values: decide(values["span"] == 5)
    )
    found = examine(claim, {"a": at(1, 3, 6)})
    assert found.verdict is YES and found.spread == {"span": (5.0,)}


def test_seeds_are_taken_together_and_judged_by_their_median():
    gap = Measure(needs=("a", "b"), of=lambda a, b: {"gap": b.epoch - a.epoch})
    claim = dataclasses.replace(
        find_claim("filter"), measures=(gap,), judge=lambda values: decide(values["gap"] > 2)
    )
    found = examine(claim, {"a": at(0, 1, 2), "b": at(1, 4, 7, 100)})
    assert found.spread == {"gap": (1, 3, 5)} and found.values == {"gap": 3}
    assert found.verdict is YES
    assert examine(claim, {"a": at(0), "b": at(1)}).verdict is NO


@pytest.mark.parametrize(
    "parts, given, verdict",
    [
        ([True, True], True, YES),
        ([True, False], True, PARTLY),
        ([False], True, NO),
        ([True], False, OPEN),
    ],
)
def test_verdicts(parts, given, verdict):
    assert decide(*parts, given=given) is verdict


def test_a_verdict_needs_something_to_decide_by():
    with pytest.raises(ValueError, match="at least one"):
        decide()


def test_an_unknown_claim_lists_the_known_ones():
    with pytest.raises(ValueError, match="'spikes'.*positions"):
        find_claim("spikes")


class TestMeasures:
    def test_a_wave_is_all_of_its_best_frequency(self):
        x = np.arange(11)
        columns = np.stack([np.cos(2 * np.pi * 3 * x / 11), np.sin(2 * np.pi * 3 * x / 11) + 5], 1)
        assert best_frequency_share(columns) == pytest.approx(1)
        assert frequencies_for(columns) == pytest.approx(1 / 5)
        assert fourier_gini(columns) > 0.7

    def test_a_function_of_the_difference_explains_itself(self, small_run):
        task = small_run.task
        classes = np.arange(task.n_classes) - np.repeat(
            np.cumsum([0, *task.class_sizes[:-1]]), task.class_sizes
        )
        modulus = np.repeat(task.class_sizes, task.class_sizes)
        gap = (task.digits @ [1, task.p])[:, None] - classes[None, :]
        # Over whole periods alone the mean of a class is the same for all classes.
        logits = np.cos(2 * np.pi * gap / modulus)
        np.testing.assert_allclose(explained_by_difference(logits, task), 1, atol=1e-2)

    def test_noise_is_not_a_function_of_the_difference(self, small_run):
        task = small_run.task
        logits = np.random.default_rng(0).normal(size=(len(task.digits), task.n_classes))
        assert (explained_by_difference(logits, task) < 0.02).all()

    def test_the_share_is_that_of_a_plain_loop(self, small_run):
        task = small_run.task
        logits = np.random.default_rng(1).normal(size=(len(task.digits), task.n_classes))
        logits[:, :2] += task.targets[:, [0]] * np.array([[1.0, -1.0]])
        own = logits[:, :2] - logits[:, :2].mean(axis=0)
        cells = {}
        for n in range(len(own)):
            for c in range(2):
                cells.setdefault((n - c) % 2, []).append(own[n, c])
        expected = sum(len(v) * np.mean(v) ** 2 for v in cells.values()) / (own**2).sum()
        assert explained_by_difference(logits, task)[0] == pytest.approx(expected)

    def test_a_table_of_shuffled_labels_is_a_function_of_them_and_not_of_n(self, small_run):
        task = small_run.task
        labels = np.random.default_rng(0).permutation(np.asarray(task.targets))
        table = np.concatenate(
            [np.eye(q)[label] for q, label in zip(task.class_sizes, labels.T, strict=True)], axis=1
        )
        # What is left out are the means of the classes, which are not quite alike.
        assert (explained_by_difference(table, task, labels) > 0.99).all()
        assert (explained_by_difference(table, task) < 0.1).all()

    def test_settling_is_the_last_loud_epoch(self):
        norms = np.array([[10.0, 1.0], [2.0, 9.0], [0.5, 0.2], [0.4, 0.95]])
        assert settled_at(np.array([1, 2, 4, 8]), norms).tolist() == [2, 8]

    def test_a_spike_rises_and_falls(self):
        assert spiked(np.array([1.0, 5.1, 4.0]))
        assert not spiked(np.array([5.0, 4.0, 3.0]))
        assert not spiked(np.array([1.0, 4.9, 4.0]))

    def test_records_within_parts_of_the_training(self):
        epochs = np.array([0, 1, 3, 16, 64, 200, 256])
        assert records_at(epochs).tolist() == [1, 2, 3, 4, 6]

    def test_heads_that_look_at_one_digit(self):
        x = np.arange(7)
        swinging = 0.5 + 0.4 * np.cos(2 * np.pi * 2 * x / 7)
        maps = np.zeros((2, 7, 7, 3))
        maps[0, ..., 0], maps[0, ..., 1] = swinging[:, None], 1 - swinging[:, None]
        maps[1, ..., 1] = 1
        found = heads(maps)
        assert found.one_digit.tolist() == [False, True]
        np.testing.assert_allclose(found.first, [0.5, 0], atol=1e-12)
        assert found.frequency.tolist() == [2, 0]
        np.testing.assert_allclose(found.share, [1, 0], atol=1e-9)


class TestEvidence:
    def test_the_kind_of_a_run_is_its_nearest_preset_whatever_the_size(self, small_run):
        assert claims.kind_of(small_run) == "miiii"

    def test_runs_testify_one_for_each_base_and_seed_the_largest_first(
        self, small_run, tiny_run, tmp_path
    ):
        other = runs.train(small_run.config.replace(seed=1), tmp_path / "other", progress=False)
        found = claims.gather([tiny_run, other, small_run, small_run])
        assert [(run.task.p, run.config.train.seed) for run in found["miiii"]] == [
            (23, 0), (23, 1), (7, 0)
        ]  # fmt: skip

    def test_runs_as_a_preset_says_testify_before_others(self):
        def listed(**changes):
            config = preset("miiii-small").replace(**changes)
            return Run(Path("nowhere"), {"status": "finished"}, config)

        asked = listed(seed=3, precision="bfloat16"), listed(p=37), listed(p=23), listed(d_model=64)
        found = claims.gather(asked)
        assert found["miiii"] == [asked[0]]
        assert found[claims.BASES] == list(asked)
        assert claims.BASES not in claims.gather([])

    def test_an_unfinished_run_does_not_testify(self, small_run):
        running = Run(small_run.folder, {"status": "running"}, small_run.config)
        assert claims.gather([running]) == {}


class TestLedger:
    @pytest.fixture
    def ledger(self, small_run):
        return claims.examine_all(claims.gather([small_run]), ["all-tasks", "filter"])

    def test_text_has_verdicts_numbers_and_witnesses(self, ledger):
        said = repr(ledger)
        assert "all-tasks: not reproduced" in said
        assert "filter: not testable with these runs (needs a run of kind no-grokfast)" in said
        assert "2 claims: 1 not reproduced, 1 not testable" in said
        assert "p = 23, 40 epochs, seed 0" in said

    def test_claims_of_ours_stand_apart_from_those_of_the_paper(self, small_run):
        both = claims.examine_all({}, ["all-tasks", "rule", "filter"])
        assert [f.claim.key for f in both.part(ours=True).findings] == ["rule"]
        assert [f.claim.key for f in both.part(ours=False).findings] == ["all-tasks", "filter"]

    def test_a_table_without_numbers_of_the_paper_has_no_column_for_them(self, ledger):
        assert "paper → ours" in ledger._repr_html_()
        ours = claims.examine_all({}, ["rule"])._repr_html_()
        assert "paper → ours" not in ours and ours.count("<td>") == 2

    def test_what_is_expected_stands_beside_its_criterion(self):
        claim = find_claim("all-tasks")
        expected = claims.Expectations([claim])
        assert claim.criterion in repr(expected) and claim.key in repr(expected)
        page = expected._repr_html_()
        assert "<i>T</i><sub>miiii</sub> is learned" in page and page.count("<td>") == 2

    def test_the_page_compares_with_the_paper_and_links_to_the_chapter(self, ledger):
        page = ledger._repr_html_()
        assert 'id="claim-all-tasks"' in page and "training.html#fig-accuracy" in page
        assert "tasks: 29 → 8" in page
        assert "λ = 0" in page
        assert "<i>T</i><sub>miiii</sub> is learned" in page

    def test_details_are_folded_and_escaped(self, ledger):
        page = ledger.details()._repr_html_()
        assert page.count("<details>") == 2
        assert "needs a run of kind no-grokfast" in page

    def test_numbers_show_the_spread_over_seeds(self, small_run):
        one = examine(find_claim("all-tasks"), {"miiii": [small_run] * 2})
        assert numbers(one).names == ("number", "paper", "ours")  # a run twice is one run
        epoch = Measure(needs=("a",), of=lambda run: {"so": run.epoch})
        claim = dataclasses.replace(
            find_claim("filter"), measures=(epoch,), judge=lambda values: decide(values["so"] > 0)
        )
        two = numbers(examine(claim, {"a": at(3, 5)}))
        assert two.names[-1] == "seeds"
        assert repr(two).splitlines()[1].split() == ["so", "4", "3", "5", "2"]

    def test_a_verdict_is_told_with_the_base_it_is_about(self, ledger):
        assert ledger["all-tasks"].where == "p = 23"
        assert ledger["filter"].where == ""

    def test_what_never_happened_is_said_so(self, small_run):
        found = examine(find_claim("order"), {"miiii": [small_run]})
        assert "never" in repr(numbers(found))


def test_the_command_prints_the_ledger(run, small_run):
    code, out, err = run("claims", "--run", small_run.folder, "--claim", "order")
    assert code == 0 and not err
    assert out.startswith("order: ") and "1 claims" in out


def test_the_command_refuses_an_unknown_claim(run, small_run):
    code, _, err = run("claims", "--run", small_run.folder, "--claim", "nothing")
    assert code == 2 and "the ledger has" in err


@pytest.mark.parametrize("claim", LEDGER, ids=by_key)
def test_a_claim_is_shown_where_it_says(claim):
    page = Path(__file__).parent.parent / "book" / f"{claim.page}.md"
    assert f"name: {claim.figure}\n" in page.read_text()
