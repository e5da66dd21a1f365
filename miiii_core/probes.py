"""Quantities recorded while training, computed inside the compiled evaluation.

Narrow probes give a few numbers each, at every epoch that is recorded; wide ones give maps and
tables, at fewer, log-spaced epochs.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .config import Config, TrainConfig
from .fourier import active_frequencies, frequency_power, frequency_power_2d
from .losses import split_means
from .model import Activations, Transformer
from .tasks import primes_below
from .waves import class_means, interaction, residue_shares, wave_energy

TABLED_NEURONS = 4  # number of neurons recorded in full, the first ones


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

    Each neuron's power map is divided by its sum, so that all that vary count alike.
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
    """Tables from which `neuron_grids` computes the full grid exactly, smaller by about p.

    Attention of the read-out token, and all that it moves, depend on inputs by one row a token.
    """
    scores, values, resid_pre = view.model.tables()
    W_O, W_in = view.model.W_O, view.model.W_in[:, :TABLED_NEURONS]
    reads = jnp.einsum("the,hed,dn->thn", values, W_O, W_in, precision="highest")
    base = jnp.matmul(resid_pre, W_in, precision="highest")
    return {"attention_scores": scores, "neuron_reads": reads, "neuron_base": base}


def _residues(view: View) -> dict[str, Array]:
    """How much of the neurons' interaction part n mod q explains, for every prime q < p.

    Shares are of the interaction's variance, pooled over neurons; a neuron counts for the prime
    that explains most of it. Waves are those of `waves.waves_of`.
    """
    p, grids = view.model.p, _neuron_grids(view)
    moduli = primes_below(p)
    rows = jnp.swapaxes(jnp.asarray(interaction(grids)), 1, 2).reshape(len(grids), -1)
    means = class_means(rows, jnp.arange(p * p, dtype=jnp.int32), moduli)
    variance, tiny = (rows**2).mean(axis=1), jnp.finfo(rows.dtype).tiny
    total, alive = jnp.maximum(variance.sum(), tiny), (variance > 0)[:, None]
    found = {"interaction_share": variance.sum() / jnp.maximum(grids.var(axis=(1, 2)).sum(), tiny)}
    parts = {"residue": residue_shares(means, p * p, moduli), "wave": wave_energy(means, moduli)}
    for name, energy in parts.items():
        strongest = jax.nn.one_hot(jnp.argmax(energy, axis=1), energy.shape[1], dtype=rows.dtype)
        found[f"{name}_share"] = energy.sum(axis=0) / total
        found[f"{name}_neurons"] = (strongest * alive).sum(axis=0)
    return found


PROBES = {
    "norms": Probe(
        _norms, {"weight_norm": "matrix", "grad_norm": "matrix", "filtered_grad_norm": "matrix"}
    ),
    "zero_loss": Probe(_zero_loss, {"zero_loss_share": "split task"}),
    "embedding": Probe(_embedding, {"embedding_power": "frequency", "embedding_singular": "rank"}),
    "neuron_spectrum": Probe(_neuron_spectrum, {
        "neuron_power": "k0 k1", "neuron_power_spread": "k0 k1", "first_neuron_power": "k0 k1",
        "active_per_neuron": "", "active_share": "k0 k1",
    }, wide=True),
    "tables": Probe(_tables, {
        "attention_scores": "token head", "neuron_reads": "token head neuron",
        "neuron_base": "neuron",
    }, wide=True),
    "residues": Probe(_residues, {
        "interaction_share": "", "residue_share": "prime", "residue_neurons": "prime",
        "wave_share": "wave", "wave_neurons": "wave",
    }, wide=True),
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


def attention_grid(scores: Float[np.ndarray, "token heads"]) -> Float[np.ndarray, "3 x0 x1 heads"]:
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
