r"""Products of waves: clusters of neurons that multiply two waves and write the wave of their sum.

In modular addition the two waves have the same frequency. For $n \bmod q$ they have $k/q$ cycles
per step of $x_0$ and $(pk \bmod q)/q$ per step of $x_1$. Either way the product of two has a wave
of the sum of both angles, which is the one wanted, and one of the difference, which is of no use.
A wave is held as one complex number z, which stands for $|z| \cos(w x + \arg z)$ in an
orthonormal basis, so that $|z|^2$ is its energy.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Complex, Float, Int

from miiii_core.fourier import fourier_basis
from miiii_core.model import logit_map
from miiii_core.runs import Run
from miiii_core.shares import Pairs, digit_waves, nearest_pair, remainder_pairs, unit_grids
from miiii_core.tasks import Task
from miiii_core.waves import Waves, turns, waves_of

from .addition import EXPLAINED, AdditionMeasures
from .rules import TINY, remainder_moduli

Tensor = np.ndarray | Array
Phasors = Complex[np.ndarray, " neurons"]
PURE = 0.5  # share of a neuron's interaction part in one pair, so that it belongs to no second one


class Patterns(NamedTuple):
    """Shares of what products of waves put into the logits, by what they depend on."""

    wanted: float  #: Share on the cosine of the sum of both angles less the class
    turned: float  #: Share on the sine of it
    mirrored: float  #: Share on the sum of both angles plus the class
    difference: float  #: Share on the difference of both angles


class Cluster(NamedTuple):
    """The neurons of one wave, and the waves in each."""

    modulus: int  #: Number of the classes that they write: p, or a prime below it
    frequency: int  #: Cycles k of their wave over the classes
    neurons: Int[np.ndarray, " neurons"]  #: Numbers of the neurons
    digits: Complex[np.ndarray, "neurons 2"]  #: Waves in x0 and in x1 alone
    total: Phasors  #: Wave in the sum of both angles, cos·cos - sin·sin and sin·cos + cos·sin
    difference: Phasors  #: Wave in the difference of both angles
    written: Phasors  #: Wave that the neuron writes along the classes

    def aligned(self, shift: int = 0) -> float:
        """Average the cosine between the phase computed and the one written, 1 if they agree.

        The one that writes is so many neurons further on: 0 for the same, 1 as a control.
        """
        return alignment(self.total, np.roll(self.written, shift))

    def locked(self, shift: int = 0) -> Float[np.ndarray, " neurons"]:
        """Return the share of each neuron's products that is cos·cos of its two digits' phases.

        There are four products of waves, so unrelated phases have a quarter on average. The phases
        are taken from so many neurons further on: 0 for the neuron's own.
        """
        first, second = np.roll(np.angle(self.digits), shift, axis=0).T
        # cos·cos is half a wave of the sum and half one of the difference, each 1/√2 of a unit.
        total, difference = (
            (wave * np.exp(-1j * angle)).real
            for wave, angle in ((self.total, first + second), (self.difference, first - second))
        )
        energy = np.abs(self.total) ** 2 + np.abs(self.difference) ** 2
        return (total + difference) ** 2 / 2 / np.maximum(energy, TINY)

    def patterns(self, *, together: bool) -> Patterns:
        """Measure what the products write: added up, so that waves cancel, or each alone."""
        ways = self.written.conj(), self.written
        each = [wave * way for wave in (self.total, self.difference) for way in ways]
        own, *others = (c.sum(keepdims=True) if together else c for c in each)
        energies = [(own.real**2).sum(), (own.imag**2).sum()]
        energies += [(np.abs(other) ** 2).sum() for other in others]
        whole = max(sum(energies), TINY)
        wanted, turned, mirrored, *differences = (float(energy / whole) for energy in energies)
        return Patterns(wanted, turned, mirrored, sum(differences))


def digit_frequencies(waves: Waves, p: int) -> Float[np.ndarray, " found"]:
    """Return the frequencies that waves of n ask of the digits, in cycles per digit step.

    They are k/q in x0 and pk/q in x1, folded into (0, 1/2], each once and ascending.
    """
    turned = turns(waves, np.array([1, p]))
    return np.unique(np.round(np.minimum(turned, 1 - turned), 12))


def shares_at(
    table: Float[Tensor, "p columns"], frequencies: Float[np.ndarray, " waves"]
) -> Float[np.ndarray, " waves"]:
    """Return the share of a table's energy along the wave of each frequency, its mean row left out.

    The waves are no basis: their shares may add up to more than 1.
    """
    rows = np.asarray(table, float)
    rows = rows - rows.mean(axis=0)
    along = np.einsum("wpc,pd->wcd", digit_waves(len(rows), frequencies), rows)
    return (along**2).sum(axis=(1, 2)) / (rows**2).sum()


def alignment(first: Phasors, second: Phasors) -> float:
    """Average the cosine of the angle from one wave's phase to the other's; NaN for no waves."""
    return float(np.cos(np.angle(first) - np.angle(second)).mean()) if len(first) else np.nan


def cluster(
    wave: tuple[int, int],
    neurons: Int[np.ndarray, " neurons"],
    grids: Float[np.ndarray, "neurons x0 x1"],
    columns: Float[np.ndarray, "2 p 2"],
    writes: Float[np.ndarray, "neurons classes"],
) -> Cluster:
    """Take the neurons of one wave (modulus, k) apart, by grids of what they are after the ReLU.

    Columns are, for each digit, the cosine and the sine of its wave, of length 1 and mean 0; the
    neurons write what they add to the logits of the task.
    """
    values, (first, second) = np.asarray(grids, float), columns
    values = values - values.mean(axis=(1, 2), keepdims=True)
    alone = values.sum(axis=2) @ first, values.sum(axis=1) @ second
    (cc, cs), (sc, ss) = np.einsum("nab,ai,bj->ijn", values, first, second, optimize=True)
    rows = [2 * wave[1] - 1, 2 * wave[1]]
    cos, sin = fourier_basis(wave[0])[rows] @ np.asarray(writes, float).T
    return Cluster(
        *wave,
        neurons,
        digits=np.stack([a[:, 0] - 1j * a[:, 1] for a in alone], axis=1) / np.sqrt(len(first)),
        total=((cc - ss) - 1j * (sc + cs)) / np.sqrt(2),
        difference=((cc + ss) - 1j * (sc - cs)) / np.sqrt(2),
        written=cos - 1j * sin,
    )


def addition_clusters(run: Run, found: AdditionMeasures) -> list[Cluster]:
    """Take apart the neurons of each key frequency of a run of T_nanda, by its measures."""
    p, writes, clusters = run.task.p, logit_map(run.model), []
    grids = unit_grids(run.task, np.asarray(run.activations().neurons))
    for k in found.key:
        own = np.flatnonzero((found.frequency == k) & (found.share > EXPLAINED))
        columns = np.stack([fourier_basis(p)[[2 * k - 1, 2 * k]].T] * 2)
        clusters.append(cluster((p, k), own, grids[own], columns, writes[own]))
    return clusters


def remainder_clusters(
    task: Task, neurons: Float[Tensor, "n neurons"], writes: Float[Tensor, "neurons n_classes"]
) -> list[Cluster]:
    """Find the neurons that multiply two waves of one n mod q, by q and k.

    There is a cluster for each wave with two neurons or more that have half of their interaction
    part in its products; k is below q/2, as k and q - k are one wave, and that of q = 2 has no
    phase. Neurons are after the ReLU, over all inputs, and write W_out·W_U.
    """
    moduli, clusters = remainder_moduli(task), []
    q, k = (np.asarray(each, int) for each in (waves_of(moduli).modulus, waves_of(moduli).k))
    kept = np.flatnonzero(2 * k < q)
    pairs = Pairs(*(each[kept] for each in remainder_pairs(moduli, task.p)))
    grids = unit_grids(task, np.asarray(neurons))
    nearest = nearest_pair(grids, pairs)
    for i, wave in enumerate(zip(q[kept].tolist(), k[kept].tolist(), strict=True)):
        own = np.flatnonzero((nearest.pair == i) & (nearest.share >= PURE))
        if len(own) > 1:
            columns = digit_waves(task.p, np.array([pairs.first[i], pairs.second[i]]))
            mine = np.asarray(writes)[own][:, task.columns[moduli.index(wave[0])]]
            clusters.append(cluster(wave, own, grids[own], columns, mine))
    return clusters
