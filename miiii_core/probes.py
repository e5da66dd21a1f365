"""Quantities recorded while training, computed inside the compiled evaluation.

Narrow probes give a few numbers each, at every epoch that is recorded; wide ones give maps and
tables, at fewer, log-spaced epochs.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .config import Config, TrainConfig
from .fourier import active_frequencies, frequency_power, frequency_power_2d
from .losses import split_means
from .model import Activations, Transformer
from .tasks import primes_below
from .waves import class_means, interaction, residue_shares


class View(NamedTuple):
    """What a probe may look at."""

    model: Transformer  #: The weights
    activations: Activations  #: Activations over the full grid, without dropout
    losses: Float[Array, "n tasks"]  #: Loss of each input and task in nats
    split_members: Bool[Array, "3 n"]  #: Whether each input belongs to train, validation and test
    #: Function that computes the raw and the filtered gradient of the next step
    gradients: Callable[[], tuple[Transformer, Transformer]]


class Probe(NamedTuple):
    """A function from a `View` to named arrays, and the axes of each besides the epoch."""

    measure: Callable[[View], dict[str, Array]]
    axes: Mapping[str, str]
    wide: bool = False


def _norms(view: View) -> dict[str, Array]:
    """L2 norm of each matrix, of its gradient, and of its filtered gradient."""
    raw, filtered = view.gradients()
    measured = {"weight_norm": view.model, "grad_norm": raw, "filtered_grad_norm": filtered}
    return {
        name: jnp.stack([jnp.linalg.norm(matrix.ravel()) for matrix in model.weights.values()])
        for name, model in measured.items()
    }


def _zero_loss(view: View) -> dict[str, Array]:
    """Share of inputs whose loss is exactly 0: float32 gives their right logit no gradient."""
    exactly_zero = (view.losses == 0).astype(view.losses.dtype)
    return {"zero_loss_share": split_means(exactly_zero, view.split_members)}


def _neuron_spectrum(view: View) -> dict[str, Array]:
    """Where on the p-DFT the post-ReLU neurons have their variance.

    Each neuron's power map is divided by its sum, so that all that vary count alike. Means are
    over all neurons, and one that does not vary counts 0.
    """
    p, neurons = view.model.p, view.activations.neurons
    energy = jnp.asarray(frequency_power_2d(neurons.T.reshape(-1, p, p).swapaxes(1, 2)))
    active = active_frequencies(energy)
    power = energy.at[:, 0, 0].set(0.0)
    total = power.sum(axis=(1, 2), keepdims=True)
    share = jnp.where(total > 0, power / jnp.where(total > 0, total, 1.0), 0.0)
    return {
        "neuron_power": share.mean(axis=0),
        "first_neuron_power": power[0],
        "active_per_neuron": active.sum(axis=(1, 2)).astype(jnp.float32).mean(),
    }


def _embedding(view: View) -> dict[str, Array]:
    """Energy of each frequency in W_E of the digits."""
    digits = view.model.W_E[: view.model.p]
    return {"embedding_power": jnp.asarray(frequency_power(digits)).sum(axis=1)}


def _residues(view: View) -> dict[str, Array]:
    """How much of the neurons' interaction part n mod q explains, for every prime q < p.

    Shares are of the interaction's variance, pooled over neurons; a neuron counts for the prime
    that explains most of it.
    """
    moduli = primes_below(view.model.p)
    rows = jnp.asarray(interaction(view.activations.neurons)).T
    energy = residue_shares(class_means(rows, moduli), rows.shape[1], moduli)
    variance = (rows**2).mean(axis=1)
    total = jnp.maximum(variance.sum(), jnp.finfo(rows.dtype).tiny)
    strongest = jax.nn.one_hot(jnp.argmax(energy, axis=1), len(moduli), dtype=rows.dtype)
    return {
        "residue_share": energy.sum(axis=0) / total,
        "residue_neurons": (strongest * (variance > 0)[:, None]).sum(axis=0),
    }


PROBES = {
    "norms": Probe(
        _norms, {"weight_norm": "matrix", "grad_norm": "matrix", "filtered_grad_norm": "matrix"}
    ),
    "zero_loss": Probe(_zero_loss, {"zero_loss_share": "split task"}),
    "embedding": Probe(_embedding, {"embedding_power": "frequency"}),
    "neuron_spectrum": Probe(_neuron_spectrum, {
        "neuron_power": "k0 k1", "first_neuron_power": "k0 k1", "active_per_neuron": "",
    }, wide=True),
    "residues": Probe(
        _residues, {"residue_share": "prime", "residue_neurons": "prime"}, wide=True
    ),
}  # fmt: skip


def chosen_probes(config: TrainConfig, *, wide: bool) -> list[Probe]:
    """Return the wide or the narrow ones of the probes that a configuration asks for."""
    return [probe for probe in (PROBES[name] for name in config.probes) if probe.wide == wide]


def metric_axes(config: Config) -> dict[str, tuple[str, ...]]:
    """Return the axis names of every array that a run records."""
    named: dict[str, tuple[str, ...]] = {"epoch": ("epoch",), "wide_epoch": ("wide_epoch",)}
    named |= dict.fromkeys(("loss", "accuracy"), ("epoch", "split", "task"))
    for wide, first in ((False, "epoch"), (True, "wide_epoch")):
        for probe in chosen_probes(config.train, wide=wide):
            named |= {name: (first, *axes.split()) for name, axes in probe.axes.items()}
    return named
