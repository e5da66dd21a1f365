"""Numbers of the small shipped runs and of three large ones, as earlier code computed them.

``golden.json`` was written by the code of revision 6b6c2f3 with jaxlib 0.10.2. Accuracies are
exact, everything else agrees to 1e-5.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from miiii_core import fourier, interventions, runs, shares, waves
from miiii_core.tasks import primes_below

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text("utf-8"))["runs"]
QUICK = ("miiii-small", "nanda-small")


def measured(run):
    """Everything that the golden file holds of a run."""
    task, p = run.task, run.task.p
    moduli = task.moduli if max(task.moduli) < p else primes_below(p)
    activations = run.activations()
    neurons = np.asarray(activations.neurons)
    table, places = np.asarray(run.model.W_E[:p], float), np.asarray(run.model.W_pos, float)
    spectrum = fourier.singular_spectrum(table)
    grids = shares.unit_grids(task, neurons)
    varying = shares.varying(grids)
    anova = shares.prime_anova(waves.interaction(neurons), moduli)
    fit = waves.project(neurons, moduli)
    pure = shares.compare(grids, moduli, np.random.default_rng(0), draws=0)
    splits = (task.train, task.validation, task.test)
    return {
        "accuracy": [
            interventions.score(activations.logits, task, rows).accuracy
            if len(rows)
            else np.full(len(task.moduli), np.nan)
            for rows in splits
        ],
        "recorded_accuracy": run.metrics["accuracy"][-1],
        "recorded_loss": run.metrics["loss"][-1],
        "embedding_singular": spectrum.values,
        "embedding_rank_50": fourier.ranks_for(spectrum.cumulative, 0.5),
        "embedding_rank_90": fourier.ranks_for(spectrum.cumulative, 0.9),
        "embedding_power": fourier.frequency_power(table).sum(axis=1),
        "position_pearson": fourier.pearson(places[0], places[1]),
        "position_cosine": places[0] @ places[1] / np.prod(np.linalg.norm(places[:2], axis=1)),
        "neurons_varying": len(varying.numbers),
        "neuron_share_mean": fourier.neuron_frequency(grids).share[varying.numbers].mean(),
        "neuron_power": np.asarray(varying.power, float).mean(axis=0).sum(axis=0),
        "residue_share": anova.variance @ anova.primes / anova.variance.sum(),
        "wave_share": anova.variance @ anova.waves / anova.variance.sum(),
        "projected_share": fit.split.sum() / fit.variance.sum(),
        "purity": {
            kind: [
                extent(getattr(family, part))
                for extent in (np.median, np.mean)
                for part in ("whole", "both")
            ]
            for kind in ("equal", "grid", "right")
            for family in [getattr(pure, kind)]
        },
        "logit_rms": np.sqrt((np.asarray(activations.logits, float) ** 2).mean()),
    }


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.thorough) for name in GOLDEN],
)
def test_a_shipped_run_gives_the_numbers_that_it_always_gave(name):
    run = runs.load(runs.shipped_root() / name)
    assert (run.task.p, run.epoch) == (GOLDEN[name]["p"], GOLDEN[name]["epoch"])
    for key, found in measured(run).items():
        wanted = GOLDEN[name][key]
        if key == "purity":
            for kind, values in wanted.items():
                np.testing.assert_allclose(found[kind], values, rtol=1e-5, err_msg=kind)
            continue
        # Of an untrained direction only rounding is left, which is compared with the largest.
        floor = 1e-6 * float(np.nanmax(np.abs(np.asarray(wanted, float))))
        np.testing.assert_allclose(
            np.asarray(found, float), np.asarray(wanted, float), rtol=1e-5, atol=floor, err_msg=key
        )


def test_sums_of_squares_are_right_on_this_build_of_jaxlib():
    """A canary: jaxlib 0.10.2 sums wrongly from 32,769 rows on (jax-ml/jax#39103)."""
    rows = np.zeros((32769, 3), np.float32)
    rows[:, 0] = np.arange(len(rows))
    turn = jnp.eye(3, dtype=jnp.float32)
    found = jax.jit(jax.vmap(lambda row: jnp.sum((turn @ row) ** 2)))(rows)
    np.testing.assert_array_equal(np.asarray(found), (rows**2).sum(axis=1))
