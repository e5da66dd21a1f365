"""Quantities recorded while training, computed inside the compiled evaluation.

Narrow probes give a few numbers each, at every epoch that is recorded; wide ones give maps and
tables, at fewer, log-spaced epochs.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .config import Config, TrainConfig
from .fourier import active_frequencies, frequency_power, frequency_power_2d
from .losses import split_means
from .model import WEIGHT_NAMES, Activations, Transformer
from .tasks import primes_below
from .waves import class_means, interaction, residue_shares, wave_energy

AXES = {
    "epoch": ("epoch",),
    "wide_epoch": ("wide_epoch",),
    "loss": ("epoch", "split", "task"),
    "accuracy": ("epoch", "split", "task"),
}
TABLED_NEURONS = 4  # number of neurons recorded in full, the first ones


class View(NamedTuple):
    """What a probe may look at.

    Attributes:
        model: The weights.
        digits: All inputs, the full grid.
        activations: Activations over the full grid, without dropout.
        losses: Loss of each input and task in nats.
        split_members: Whether each input belongs to train, validation and test.
        gradients: Function that computes the raw and the filtered gradient of the next step.
    """

    model: Transformer
    digits: Int[Array, "n 2"]
    activations: Activations
    losses: Float[Array, "n tasks"]
    split_members: Bool[Array, "3 n"]
    gradients: Callable[[], tuple[Transformer, Transformer]]


class Probe(NamedTuple):
    """A function from a `View` to named arrays, and the axes of each besides the epoch."""

    measure: Callable[[View], dict[str, Array]]
    axes: Mapping[str, tuple[str, ...]]
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

    Each neuron's power map is divided by its sum, so that all neurons that vary count alike;
    a constant one counts as zero everywhere.
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
    """Tables from which `attention_grid` and `neuron_grids` compute the full grid, exactly.

    Attention of the read-out token, and all that it moves, depend on the inputs through one
    row a token, so these tables are smaller than the grids by a factor of about p.
    """
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

    Shares are of the interaction's variance, pooled over neurons; a neuron counts for the prime
    that explains most of it. Waves are those of `waves.waves_of`.
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
        _norms, dict.fromkeys(("weight_norm", "grad_norm", "filtered_grad_norm"), ("matrix",))
    ),
    "zero_loss": Probe(_zero_loss, {"zero_loss_share": ("split", "task")}),
    "neuron_spectrum": Probe(
        _neuron_spectrum,
        dict.fromkeys(("neuron_power", "neuron_power_spread", "first_neuron_power"), ("k0", "k1"))
        | {"active_per_neuron": (), "active_share": ("k0", "k1")},
        wide=True,
    ),
    "embedding": Probe(
        _embedding, {"embedding_power": ("frequency",), "embedding_singular": ("rank",)}
    ),
    "tables": Probe(
        _tables,
        {"attention_scores": ("token", "head")}
        | {"neuron_reads": ("token", "head", "neuron"), "neuron_base": ("neuron",)},
        wide=True,
    ),
    "residues": Probe(
        _residues,
        {"interaction_share": ()}
        | dict.fromkeys(("residue_share", "residue_neurons"), ("prime",))
        | dict.fromkeys(("wave_share", "wave_neurons"), ("wave",)),
        wide=True,
    ),
}


def chosen_probes(config: TrainConfig, *, wide: bool) -> list[Probe]:
    """Return the wide or the narrow ones of the probes that a configuration asks for."""
    return [probe for probe in (PROBES[name] for name in config.probes) if probe.wide == wide]


def metric_axes(config: Config) -> dict[str, tuple[str, ...]]:
    """Return the axis names of every array that a run records."""
    named = dict(AXES)
    for wide, first in ((False, "epoch"), (True, "wide_epoch")):
        for probe in chosen_probes(config.train, wide=wide):
            named |= {name: (first, *axes) for name, axes in probe.axes.items()}
    return named


def attention_grid(
    scores: Float[np.ndarray, "token heads"],
) -> Float[np.ndarray, "3 x0 x1 heads"]:
    """Return the read-out token's attention on x0, x1 and itself; the first axis sums to 1.

    Args:
        scores: Scores of the 2p + 1 tokens, as in `Transformer.tables` or as recorded.
    """
    stacked = np.stack(np.broadcast_arrays(*_per_place(scores)))
    weight = np.exp(stacked - stacked.max(axis=0))
    return weight / weight.sum(axis=0)


def neuron_grids(
    scores: Float[np.ndarray, "token heads"],
    reads: Float[np.ndarray, "token heads neurons"],
    base: Float[np.ndarray, " neurons"],
) -> Float[np.ndarray, "neurons x0 x1"]:
    """Return recorded neurons after the ReLU, over all inputs.

    Args:
        scores: Scaled scores of the 2p + 1 tokens.
        reads: What each neuron reads of a head that attends to a token alone.
        base: What each neuron reads of the read-out token's own embedding.
    """
    attention = attention_grid(scores)[..., None]
    moved = sum(share * part for share, part in zip(attention, _per_place(reads), strict=True))
    return np.moveaxis(np.maximum(np.sum(moved, axis=2) + base, 0), -1, 0)


def _per_place(table: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of x0, of x1 and of the read-out token, with axes (x0, x1, ...) that broadcast."""
    p = len(table) // 2
    return table[:p, None], table[None, p : 2 * p], table[None, 2 * p :]
