r"""The circuit of Nanda et al. (2023) in a run of modular addition, measured from end to end.

Digits are embedded as waves of a few key frequencies w; neurons, one frequency each, multiply
waves of the two digits; W_L = W_out·W_U reads waves of the sum off them, and the logits
add up $\cos(w(x_0 + x_1 - c))$. Names of measures are those of `published.NANDA`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..analysis.blocks import centred_power, unit_grids
from ..analysis.progress import addition_shares, sum_waves
from ..analysis.spectral import (
    NeuronFrequency,
    fourier_1d,
    frequency_power,
    inverse_fourier_1d,
    key_frequencies,
    neuron_frequency,
)
from ..network.model import Transformer
from ..storage.saved import Run
from ..tasks import Task
from .formation import Bracket, Moment, Phases, history, logit_map, phases, split_loss, unseen_loss
from .published import NANDA
from .trigonometry import Cluster, cluster

Tensor = np.ndarray | Array
EXPLAINED = 0.85  # share of variance from which a neuron counts as being of one frequency


@dataclass(frozen=True, kw_only=True)
class AdditionMeasures:
    """All measures of a run of modular addition.

    Attributes:
        p: The modulus.
        key: Key frequencies, by `spectral.key_frequencies` of the trained W_E.
        embedding_share: Energy of W_E at k = 1..(p-1)/2, the mean over digits removed.
        frequency: Of each neuron after the ReLU; 0 if it is constant.
        share: Of each neuron's variance, in the 3×3 block of its frequency.
        head_frequency: The same for each head's weight on x0.
        head_share: The same for each head's weight on x0.
        head_key_share: Of that weight's variance in all waves and products of key frequencies.
        map_share: Energy of W_L over the classes, at k = 0..(p-1)/2.
        sums: Share of what the neurons say along each key direction of W_L, cos and sin, that
            is a multiple of the wave cos or sin of w(x0 + x1).
        logit_share: Of the logits' variance in cos(w(x0 + x1 - c)), at k = 1..(p-1)/2.
        skip_share: Of the logits' variance in what passes the neurons by.
        complement: Loss on training and other inputs without the key directions of the classes.
        clusters: For each key frequency.
        epochs: Of the snapshots.
        history: Progress measures at these; the last is of the trained model.
        phases: Where the three phases end.
    """

    p: int
    key: tuple[int, ...]
    embedding_share: Float[np.ndarray, " frequencies"]
    frequency: Int[np.ndarray, " neurons"]
    share: Float[np.ndarray, " neurons"]
    head_frequency: Int[np.ndarray, " heads"]
    head_share: Float[np.ndarray, " heads"]
    head_key_share: Float[np.ndarray, " heads"]
    map_share: Float[np.ndarray, " frequencies+1"]
    sums: Float[np.ndarray, "keys 2"]
    logit_share: Float[np.ndarray, " frequencies"]
    skip_share: float
    complement: Float[np.ndarray, "2"]
    clusters: tuple[Cluster, ...]
    epochs: Int[np.ndarray, " snapshots"]
    history: Moment
    phases: Phases

    @property
    def neurons_per_frequency(self) -> dict[int, int]:
        """How many neurons are explained by each frequency, key or not, most first."""
        return dict(Counter(self.frequency[self.share > EXPLAINED].tolist()).most_common())

    @property
    def ours(self) -> dict[str, Bracket]:
        """Each published number as this run has it; a single value is a bracket of no width."""
        key = np.array(self.key, int)
        some = 1.0 if len(key) else np.nan  # without key frequencies there is nothing to compare
        single = {
            "key_frequencies": len(key),
            "neurons_explained": (self.share > EXPLAINED).mean(),
            "heads_explained": self.head_share.min(),
            "map_residual": np.sqrt(max(0.0, 1 - self.map_share[key].sum())),
            "sums_explained": self.sums.min(initial=some),
            "logits_explained": self.logit_share[key - 1].sum(),
            "restricted_ratio": some
            * self.history.logits.restricted[-1, 0, 1]
            / self.history.loss[-1, 1],
            "complement_ratio": some * self.complement[1] / np.log(self.p),
        }
        return {name: Bracket(float(v), float(v)) for name, v in single.items()} | (
            self.phases._asdict()
        )

    @property
    def agrees(self) -> dict[str, bool]:
        """Whether this run agrees with each published number, by the bounds set beforehand."""
        return {name: NANDA[name].agrees(*found) for name, found in self.ours.items()}


def measures(run: Run, *, draws: int = 20, seed: int = 0) -> AdditionMeasures:
    """Measure a run of modular addition: its trained weights, and each of its snapshots.

    Args:
        run: Finished.
        draws: Random sets of frequencies that serve as controls.
        seed: Of the draws.

    Raises:
        ValueError: for a run of another task, or one without snapshots.
    """
    if run.config.task.name != "nanda":
        raise ValueError(
            f"{run.folder} is a run of {run.config.task.name!r}; these are measures of modular "
            "addition, so give a run of 'nanda', such as runs.cached('nanda')"
        )
    key = key_of(run)
    past = history(run, key, draws=draws, seed=seed)
    return AdditionMeasures(
        p=run.task.p,
        key=key,
        epochs=np.array(run.snapshot_epochs),
        history=past,
        phases=_phases(run, past),
        **_of_weights(run.model),
        **_of_activations(run.model, run.task, key),
    )


def key_of(run: Run) -> tuple[int, ...]:
    """The key frequencies of a run: those whose cos or sin stands out of its trained W_E."""
    digits = np.asarray(run.model.W_E[: run.task.p], float)
    return tuple(np.flatnonzero(key_frequencies(digits).active).tolist())


def without_classes(
    logits: Float[Tensor, "n p"], frequencies: Sequence[int]
) -> Float[np.ndarray, "n p"]:
    """Logits without what frequencies explain of them along the classes, input by input."""
    components = np.array(fourier_1d(np.asarray(logits, float).T))
    for k in frequencies:
        components[2 * k - 1 : 2 * k + 1] = 0
    return np.asarray(inverse_fourier_1d(components)).T


def sum_directions(
    neurons: Float[Tensor, "n neurons"],
    writes: Float[Tensor, "neurons p"],
    frequencies: Sequence[int],
) -> Float[np.ndarray, "frequencies 2"]:
    """How much of the neurons along W_L's direction cos w is a multiple of cos w(x0 + x1).

    And the same for sin w, for each frequency; variance over the inputs.
    """
    p = writes.shape[1]
    directions = np.array(fourier_1d(np.asarray(writes, float).T))
    rows = [row for k in frequencies for row in (2 * k - 1, 2 * k)]
    said = np.asarray(neurons, float) @ directions[rows].T
    along = (sum_waves(p, frequencies) * said).sum(axis=0) ** 2
    return (along / np.maximum(_energy(said), np.finfo(float).tiny)).reshape(-1, 2)


def key_share(
    grids: Float[Tensor, "units x0 x1"], frequencies: Sequence[int]
) -> Float[np.ndarray, " units"]:
    """Share of each grid's variance in waves of these frequencies, of either digit and mixed.

    Unlike `spectral.neuron_frequency` it lets one unit have several, and their products.
    """
    power = centred_power(np.asarray(grids, float))
    allowed = [0, *frequencies]
    kept = power[:, allowed][:, :, allowed].sum(axis=(1, 2))
    return kept / np.maximum(power.sum(axis=(1, 2)), np.finfo(float).tiny)


def _of_weights(model: Transformer) -> dict[str, Any]:
    """What W_E and W_L alone say."""
    power = frequency_power(logit_map(model).T).sum(axis=1)
    digits = np.asarray(model.W_E[: model.p], float)
    return {
        "embedding_share": np.asarray(key_frequencies(digits).share)[1:],
        "map_share": power / power.sum(),
    }


def _of_activations(model: Transformer, task: Task, key: tuple[int, ...]) -> dict[str, Any]:
    """What heads, neurons and logits do over all inputs."""
    a = model.activations(jnp.asarray(task.digits))
    neurons, logits = np.asarray(a.neurons, float), np.asarray(a.logits, float)
    writes, grids = logit_map(model), unit_grids(task, neurons)
    looks = unit_grids(task, np.asarray(a.attention[:, :, 0], float))
    own, heads = neuron_frequency(grids), neuron_frequency(looks)
    skip = _energy(logits - neurons @ writes).sum() / _energy(logits).sum()
    return {
        "frequency": np.asarray(own.frequency),
        "share": np.asarray(own.share),
        "head_frequency": np.asarray(heads.frequency),
        "head_share": np.asarray(heads.share),
        "head_key_share": key_share(looks, key),
        "sums": sum_directions(neurons, writes, key),
        "logit_share": addition_shares(logits, range(1, (task.p + 1) // 2)),
        "skip_share": float(skip),
        "complement": split_loss(without_classes(logits, key), task),
        "clusters": _clusters(key, grids, own, writes),
    }


def _clusters(
    key: tuple[int, ...], grids: np.ndarray, own: NeuronFrequency, writes: np.ndarray
) -> tuple[Cluster, ...]:
    """Each key frequency's neurons, with the next key frequency as control."""
    found = []
    for index, k in enumerate(key):
        members = np.flatnonzero((own.frequency == k) & (own.share > EXPLAINED))
        other = key[(index + 1) % len(key)] if len(key) > 1 else None
        found.append(cluster(k, other, members, grids[members], writes[members]))
    return tuple(found)


def _phases(run: Run, past: Moment) -> Phases:
    """Where the phases of a run end, from its snapshots and its record."""
    lost, guessing = past.logits.excluded[:, 0, 0], float(np.log(run.task.p))
    return phases(run.snapshot_epochs, lost, run.metrics["epoch"], unseen_loss(run), guessing)


def _energy(columns: np.ndarray) -> Float[np.ndarray, " columns"]:
    """Sum of squares of each column, its mean removed."""
    return ((columns - columns.mean(axis=0, keepdims=True)) ** 2).sum(axis=0)
