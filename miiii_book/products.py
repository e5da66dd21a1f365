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

from miiii_core.model import logit_map
from miiii_core.runs import Run
from miiii_core.shares import TINY, digit_waves, nearest_pair, remainder_pairs, unit_grids
from miiii_core.tasks import Task
from miiii_core.waves import waves_of

from .addition import EXPLAINED, AdditionMeasures
from .rules import remainder_moduli

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
        first, second = np.exp(-1j * np.angle(np.roll(self.digits, shift, axis=0))).T
        # cos·cos is half a wave of the sum and half one of the difference, each 1/√2 of a unit.
        along = (first * (self.total * second + self.difference * second.conj())).real
        energy = np.abs(self.total) ** 2 + np.abs(self.difference) ** 2
        return along**2 / 2 / np.maximum(energy, TINY)

    def patterns(self, *, together: bool) -> Patterns:
        """Measure what the products write: added up, so that waves cancel, or each alone."""
        ways = self.written.conj(), self.written
        each = np.stack([wave * way for wave in (self.total, self.difference) for way in ways])
        own, *others = each.sum(axis=1, keepdims=True) if together else each
        mirrored, *differences = (np.abs(others) ** 2).sum(axis=1)
        energies = (own.real**2).sum(), (own.imag**2).sum(), mirrored, sum(differences)
        return Patterns(*(float(energy / max(sum(energies), TINY)) for energy in energies))


def shares_at(
    table: Float[Tensor, "p columns"], frequencies: Float[np.ndarray, " waves"]
) -> Float[np.ndarray, " waves"]:
    """Return the share of a table's energy along the wave of each frequency, its mean row left out.

    The waves are no basis: their shares may add up to more than 1.
    """
    rows = np.asarray(table, float)
    rows = rows - rows.mean(axis=0)
    along = _phasors(len(rows), frequencies) @ rows
    return (np.abs(along) ** 2).sum(axis=1) / (rows**2).sum()


def alignment(first: Phasors, second: Phasors) -> float:
    """Average the cosine of the angle from one wave's phase to the other's; NaN for no waves."""
    return float(np.cos(np.angle(first) - np.angle(second)).mean()) if len(first) else np.nan


def cluster(
    wave: tuple[int, int],
    neurons: Int[np.ndarray, " neurons"],
    grids: Float[np.ndarray, "neurons x0 x1"],
    frequencies: tuple[float, float],
    writes: Float[np.ndarray, "neurons classes"],
) -> Cluster:
    """Take the neurons of one wave (modulus, k) apart, by grids of what they are after the ReLU.

    Frequencies are those of its waves in x0 and in x1, in cycles per digit step; the neurons write
    what they add to the logits of the task.
    """
    values, p = np.asarray(grids, float), grids.shape[1]
    first, second = _phasors(p, np.array(frequencies))
    (along,) = _phasors(wave[0], np.array([wave[1] / wave[0]]))
    halves = first @ values  # the wave in x0, at each x1
    return Cluster(
        *wave,
        neurons,
        digits=np.stack([halves.mean(axis=1), values.mean(axis=1) @ second], axis=1) * np.sqrt(p),
        total=halves @ second / np.sqrt(2),
        difference=halves @ second.conj() / np.sqrt(2),
        written=np.asarray(writes, float) @ along,
    )


def _phasors(p: int, frequencies: Float[np.ndarray, " waves"]) -> Complex[np.ndarray, "waves p"]:
    """Return the cosine of each frequency less i times its sine, of length 1 and mean 0 each."""
    return digit_waves(p, frequencies) @ np.array([1, -1j])


def addition_clusters(run: Run, found: AdditionMeasures) -> list[Cluster]:
    """Take apart the neurons of each key frequency of a run of T_nanda, by its measures."""
    p, writes = run.task.p, logit_map(run.model)
    grids, pure = unit_grids(run.task, run.activations().neurons), found.share > EXPLAINED
    sets = {k: np.flatnonzero(pure & (found.frequency == k)) for k in found.key}
    return [
        cluster((p, k), own, grids[own], (k / p, k / p), writes[own]) for k, own in sets.items()
    ]


def remainder_clusters(
    task: Task, neurons: Float[Tensor, "n neurons"], writes: Float[Tensor, "neurons n_classes"]
) -> list[Cluster]:
    """Find the neurons that multiply two waves of one n mod q, by q and k.

    There is a cluster for each wave with two neurons or more that have half of their interaction
    part in its products; that of q = 2, the first, has no phase. Neurons are after the ReLU, over
    all inputs, and write W_out·W_U.
    """
    moduli, grids, clusters = remainder_moduli(task), unit_grids(task, neurons), []
    pairs = remainder_pairs(moduli[1:], task.p)
    nearest = nearest_pair(grids, pairs)
    for i, (q, k) in enumerate(zip(*waves_of(moduli[1:]), strict=True)):
        own = np.flatnonzero((nearest.pair == i) & (nearest.share >= PURE))
        if len(own) > 1:
            mine = np.asarray(writes)[own, task.columns[moduli.index(q)]]
            steps = pairs.first[i], pairs.second[i]
            clusters.append(cluster((int(q), int(k)), own, grids[own], steps, mine))
    return clusters
