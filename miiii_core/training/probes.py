"""Named quantities recorded while training, computed inside the compiled evaluation.

Narrow probes are a few numbers each and recorded at every tick; wide ones are maps and tables
and recorded at fewer, log-spaced ticks.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..analysis.atoms import class_means, interaction, residue_shares, wave_energy
from ..analysis.spectral import active_frequencies, frequency_power, frequency_power_2d
from ..config import Config, TrainConfig
from ..network.losses import split_means
from ..network.model import WEIGHT_NAMES, Activations, Transformer
from ..tasks import primes_below

AXES = {
    "epoch": ("epoch",),
    "wide_epoch": ("wide_epoch",),
    "loss": ("epoch", "split", "task"),
    "accuracy": ("epoch", "split", "task"),
}
TABLED_NEURONS = 4  # how many neurons are recorded in full, the first ones


class View(NamedTuple):
    """What a probe may look at.

    Attributes:
        model: The weights.
        digits: The inputs, the full grid.
        activations: Over the full grid, dropout off.
        losses: In nats, for each input and task.
        split_members: Which inputs belong to train, validation and test.
        gradients: Computes the raw and the filtered gradient of the step to come.
    """

    model: Transformer
    digits: Int[Array, "n 2"]
    activations: Activations
    losses: Float[Array, "n tasks"]
    split_members: Bool[Array, "3 n"]
    gradients: Callable[[], tuple[Transformer, Transformer]]


class Probe(NamedTuple):
    """A function from a `View` to named arrays, and the axes of each beside the epoch."""

    measure: Callable[[View], dict[str, Array]]
    axes: dict[str, tuple[str, ...]]
    wide: bool = False


def _norms(view: View) -> dict[str, Array]:
    """L2 norm of each matrix, of its gradient, and of its filtered gradient."""
    raw, filtered = view.gradients()
    return {
        "weight_norm": _matrix_norms(view.model),
        "grad_norm": _matrix_norms(raw),
        "filtered_grad_norm": _matrix_norms(filtered),
    }


def _matrix_norms(model: Transformer) -> Float[Array, " matrix"]:
    return jnp.stack([jnp.linalg.norm(model.weights[name].ravel()) for name in WEIGHT_NAMES])


def _zero_loss(view: View) -> dict[str, Array]:
    """Share of inputs whose loss is exactly 0: float32 gives their right logit no gradient."""
    exactly_zero = (view.losses == 0).astype(view.losses.dtype)
    return {"zero_loss_share": split_means(exactly_zero, view.split_members)}


def _neuron_spectrum(view: View) -> dict[str, Array]:
    """Where on the p-DFT the post-ReLU neurons have their variance.

    Each neuron's power map is divided by its sum, so that every neuron that
    varies counts alike; one that is constant counts as zero everywhere.
    """
    energy = jnp.asarray(frequency_power_2d(_neuron_grids(view)))
    active = active_frequencies(energy)
    power = energy.at[:, 0, 0].set(0.0)
    total = power.sum(axis=(1, 2), keepdims=True)
    share = jnp.where(total > 0, power / jnp.where(total > 0, total, 1.0), 0.0)
    return {
        "neuron_power": share.mean(axis=0),
        "neuron_power_spread": share.std(axis=0),
        "first_neuron_power": power[0],
        "active_per_neuron": active.sum(axis=(1, 2)).astype(jnp.float32).mean(),
        "active_share": active.mean(axis=0),
    }


def _neuron_grids(view: View) -> Float[Array, "neurons x0 x1"]:
    p = view.model.p
    return jnp.swapaxes(view.activations.neurons.T.reshape(-1, p, p), 1, 2)


def _embedding(view: View) -> dict[str, Array]:
    """W_E of the digits: energy of each frequency, and its singular values."""
    digits = view.model.W_E[: view.model.p]
    return {
        "embedding_power": jnp.asarray(frequency_power(digits)).sum(axis=1),
        "embedding_singular": jnp.linalg.svd(digits, compute_uv=False),
    }


def _tables(view: View) -> dict[str, Array]:
    """What attention and the first few neurons are made of; `replay` makes grids of it."""
    model = view.model
    scores, values, resid_pre = model.tables()
    neurons = model.W_in[:, :TABLED_NEURONS]
    return {
        "attention_scores": scores,
        "neuron_reads": jnp.einsum(
            "the,hed,dn->thn", values, model.W_O, neurons, precision="highest"
        ),
        "neuron_base": jnp.matmul(resid_pre, neurons, precision="highest"),
    }


def _residues(view: View) -> dict[str, Array]:
    """How much of the neurons' interaction part n mod q explains, for every prime q < p.

    Shares are of the interaction's variance, pooled over neurons; a neuron serves the prime
    that explains most of it. Waves are those of `atoms.waves_of`.
    """
    p = view.model.p
    moduli = primes_below(p)
    numbers = view.digits[:, 0] + p * view.digits[:, 1]
    grids = _neuron_grids(view)
    varying = jnp.asarray(interaction(grids))
    rows = jnp.swapaxes(varying, 1, 2).reshape(len(varying), -1)
    means = class_means(rows, numbers, moduli)
    between = residue_shares(means, p * p, moduli)
    waves = wave_energy(means, moduli)
    variance = (rows**2).mean(axis=1)
    tiny = jnp.finfo(rows.dtype).tiny
    total = jnp.maximum(variance.sum(), tiny)
    alive = (variance > 0).astype(rows.dtype)[:, None]
    served = jnp.argmax(between, axis=1)[:, None] == jnp.arange(len(moduli))[None]
    strongest = jnp.argmax(waves, axis=1)[:, None] == jnp.arange(waves.shape[1])[None]
    return {
        "interaction_share": variance.sum() / jnp.maximum(grids.var(axis=(1, 2)).sum(), tiny),
        "residue_share": between.sum(axis=0) / total,
        "residue_neurons": (served * alive).sum(axis=0),
        "wave_share": waves.sum(axis=0) / total,
        "wave_neurons": (strongest * alive).sum(axis=0),
    }


PROBES = {
    "norms": Probe(
        _norms,
        {name: ("matrix",) for name in ("weight_norm", "grad_norm", "filtered_grad_norm")},
    ),
    "zero_loss": Probe(_zero_loss, {"zero_loss_share": ("split", "task")}),
    "neuron_spectrum": Probe(
        _neuron_spectrum,
        {
            "neuron_power": ("k0", "k1"),
            "neuron_power_spread": ("k0", "k1"),
            "first_neuron_power": ("k0", "k1"),
            "active_per_neuron": (),
            "active_share": ("k0", "k1"),
        },
        wide=True,
    ),
    "embedding": Probe(
        _embedding, {"embedding_power": ("frequency",), "embedding_singular": ("rank",)}
    ),
    "tables": Probe(
        _tables,
        {
            "attention_scores": ("token", "head"),
            "neuron_reads": ("token", "head", "neuron"),
            "neuron_base": ("neuron",),
        },
        wide=True,
    ),
    "residues": Probe(
        _residues,
        {
            "interaction_share": (),
            "residue_share": ("prime",),
            "residue_neurons": ("prime",),
            "wave_share": ("wave",),
            "wave_neurons": ("wave",),
        },
        wide=True,
    ),
}


def chosen_probes(config: TrainConfig, *, wide: bool) -> list[Probe]:
    """The wide or the narrow ones among the probes that a configuration asks for."""
    return [probe for probe in (PROBES[name] for name in config.probes) if probe.wide == wide]


def metric_axes(config: Config) -> dict[str, tuple[str, ...]]:
    """The axis names of everything a run records."""
    named = dict(AXES)
    for wide, first in ((False, "epoch"), (True, "wide_epoch")):
        for probe in chosen_probes(config.train, wide=wide):
            named |= {name: (first, *axes) for name, axes in probe.axes.items()}
    return named
