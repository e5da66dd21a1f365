r"""Circuits as sets of parts: every set is tried, so the smallest is known and not estimated.

The stream after attention is a sum over paths, head h from token t, and the logits are a sum
over what goes past the neurons and what goes through groups of them. A part that is not in the
circuit stands at its mean over all inputs. Parts are few, so all circuits can be run, on all
inputs or some.
"""

from collections.abc import Sequence
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..network.losses import task_losses
from ..network.model import Activations, Transformer
from ..tasks import Task, task_columns
from .exam import Exam, Tensor, check_rows

MOST_PARTS = 18  # 2^18 circuits; beyond, trying all is no longer a matter of minutes
MOST_LOGITS, MOST_ROWS = 150_000, 256  # of the inputs that all circuits are tried on


class TooManyParts(ValueError):
    """A network of which not all circuits can be tried."""


class Parts(eqx.Module):
    """A network on some inputs, taken apart.

    Attributes:
        paths: What each head brings from x0 and from x1, and all heads from the read-out
            token, less its mean over all inputs.
        middle: Mean over all inputs of the stream after attention.
        neurons: Mean over all inputs of each neuron.
        groups: Which neurons belong to each group, 1 or 0.
        names: Of the parts in order: paths, groups, and the stream past the neurons.
    """

    paths: Float[Array, "rows paths d_model"]
    middle: Float[Array, " d_model"]
    neurons: Float[Array, " neurons"]
    groups: Float[Array, "groups neurons"]
    names: tuple[str, ...] = eqx.field(static=True)


def search_rows(task: Task) -> Int[np.ndarray, " rows"]:
    """Inputs trained on, at random, that all circuits are tried on: fewer for many classes."""
    return task.train[: max(1, min(MOST_ROWS, MOST_LOGITS // task.n_classes))]


def neuron_groups(
    share: Float[np.ndarray, "neurons tasks"], moduli: Sequence[int], most: int = 3
) -> dict[str, Int[np.ndarray, " _"]]:
    """Neurons by the task that they give the largest share of evidence, a few tasks together.

    Neighbouring tasks are put together so that groups are about equally large.

    Args:
        share: Of `breaking.shares`.
        moduli: One for each task, ascending.
        most: Groups at most.

    Raises:
        ValueError: for another number of moduli than of tasks, or no groups.
    """
    if share.shape[1] != len(moduli) or most < 1:
        raise ValueError(
            f"shares for {share.shape[1]} tasks, {len(moduli)} moduli, {most} groups were given; "
            "give one modulus for each task and ask for at least one group"
        )
    favourite = share.argmax(axis=1)
    counts = np.bincount(favourite, minlength=len(moduli))
    middle = (np.cumsum(counts) - counts / 2) / len(favourite)
    of_task = np.minimum((most * middle).astype(int), most - 1)
    groups = {}
    for group in np.unique(of_task[favourite]):
        tasks = np.flatnonzero((of_task == group) & (counts > 0))
        first, last = moduli[tasks[0]], moduli[tasks[-1]]
        name = f"neurons {first}" if first == last else f"neurons {first} to {last}"
        groups[name] = np.flatnonzero(of_task[favourite] == group)
    return groups


def take_apart(
    activations: Activations,
    model: Transformer,
    digits: Int[Tensor, "n 2"],
    groups: dict[str, Int[np.ndarray, " _"]],
    rows: Int[Tensor, " rows"],
) -> Parts:
    """Take a network apart, on some of all inputs.

    Args:
        activations: Over all inputs.
        model: Whose they are.
        digits: All inputs.
        groups: Neurons by the name of their group; each neuron in one.
        rows: The inputs to keep.

    Raises:
        ValueError: if groups overlap or leave a neuron out, or for a row without an input.
        TooManyParts: if there are more than `MOST_PARTS`.
    """
    n_heads, count = activations.attention.shape[1], activations.neurons.shape[1]
    members = [neuron for group in groups.values() for neuron in group]
    if sorted(members) != list(range(count)):
        raise ValueError(f"groups must hold each of the {count} neurons once; regroup them")
    check_rows(rows, len(digits))
    names = [f"head {h + 1}, x{t}" for h in range(n_heads) for t in (0, 1)]
    names += ["heads, read-out token", *groups, "past the neurons"]
    if len(names) > MOST_PARTS:
        raise TooManyParts(
            f"{len(names)} parts make 2^{len(names)} circuits; {MOST_PARTS} parts are the most "
            "that are tried. Make fewer groups of neurons, or take a model with fewer heads"
        )
    paths = _paths(activations, model, jnp.asarray(digits))
    in_group = np.stack([np.isin(np.arange(count), group) for group in groups.values()])
    return Parts(
        paths=(paths - paths.mean(axis=0, keepdims=True))[np.asarray(rows)],
        middle=activations.resid_mid.mean(axis=0),
        neurons=activations.neurons.mean(axis=0),
        groups=jnp.asarray(in_group, jnp.float32),
        names=tuple(names),
    )


@eqx.filter_jit
def gated_logits(
    parts: Parts, model: Transformer, gates: Float[Tensor, " parts"]
) -> Float[Array, "rows n_classes"]:
    """Logits with each part as far open as its gate says: 1 as it is, 0 at its mean.

    Raises:
        ValueError: unless there is a gate for each part.
    """
    if gates.shape != (len(parts.names),):
        raise ValueError(f"gates of shape {gates.shape} were given for {len(parts.names)} parts")
    ends = [parts.paths.shape[1], len(parts.names) - 1]
    paths, groups, past = jnp.split(jnp.asarray(gates, jnp.float32), ends)
    moved, neurons = _inside(parts, model, paths)
    with jax.default_matmul_precision("highest"):
        stream = (neurons * (groups @ parts.groups)[None]) @ model.W_out + past[0] * moved
        return _constant(parts, model)[None] + stream @ model.W_U


def all_circuits(count: int) -> Bool[np.ndarray, "circuits parts"]:
    """Every set of so many parts; circuit number i has the parts whose bit is set in i."""
    return (np.arange(2**count)[:, None] >> np.arange(count)) % 2 == 1


def try_all(parts: Parts, model: Transformer, exam: Exam) -> Float[np.ndarray, "circuits tasks"]:
    """Share of each task's accuracy above guessing that each circuit keeps: `Exam.left`.

    For one choice of paths the logits are a sum over the other parts, so the network runs
    once a choice of paths and not once a circuit.

    Raises:
        ValueError: for an exam on other inputs than the parts.
    """
    _check_rows(parts, exam)
    n_paths = parts.paths.shape[1]
    through = all_circuits(len(parts.names) - n_paths).astype(np.float32)
    targets = jnp.asarray(exam.targets)
    accuracy = _try_all(
        parts, model, all_circuits(n_paths).astype(np.float32), through, targets, exam.class_sizes
    )
    # Bits of paths come first: they run fastest.
    found = np.swapaxes(np.asarray(accuracy), 0, 1).reshape(-1, len(exam.class_sizes))
    above = exam.whole - exam.guess
    share = (found - exam.guess) / np.where(above > 0, above, 1)
    return np.where(above > 0, share, 1.0)


def attributions(parts: Parts, model: Transformer, exam: Exam) -> Float[np.ndarray, "tasks parts"]:
    """First-order estimate of how much each task's loss rises when a part goes to its mean.

    Source: attribution patching (Nanda 2023; Syed, Rager and Conmy 2023), with means in the
    place of corrupted inputs and parts in the place of edges.

    Raises:
        ValueError: for an exam on other inputs than the parts.
    """
    _check_rows(parts, exam)
    targets = jnp.asarray(exam.targets)

    def losses(gates: Array) -> Array:
        return task_losses(gated_logits(parts, model, gates), targets, exam.class_sizes).mean(0)

    return -np.asarray(jax.jit(jax.jacfwd(losses))(jnp.ones(len(parts.names))))


def _check_rows(parts: Parts, exam: Exam) -> None:
    """As many inputs in both, or means would be taken over what does not belong together."""
    if len(parts.paths) != len(exam.rows):
        raise ValueError(
            f"parts on {len(parts.paths)} inputs and an exam on {len(exam.rows)} were given; "
            "give both of the same inputs"
        )


def _paths(
    activations: Activations, model: Transformer, digits: Int[Array, "n 2"]
) -> Float[Array, "n paths d_model"]:
    """What each head brings from x0 and from x1, head by head; then all from the read-out."""
    p, attention = model.p, activations.attention
    with jax.default_matmul_precision("highest"):
        moved = jnp.einsum("the,hed->thd", model.tables().values, model.W_O)
        from_x0 = attention[:, :, 0, None] * moved[digits[:, 0]]
        from_x1 = attention[:, :, 1, None] * moved[p + digits[:, 1]]
        end = jnp.einsum("nh,hd->nd", attention[:, :, 2], moved[2 * p])
    digits_part = jnp.stack([from_x0, from_x1], axis=2).reshape(len(digits), -1, end.shape[1])
    return jnp.concatenate([digits_part, end[:, None]], axis=1)


def _inside(
    parts: Parts, model: Transformer, paths: Float[Array, " paths"]
) -> tuple[Float[Array, "rows d_model"], Float[Array, "rows neurons"]]:
    """What some paths bring, and the neurons then, both less their means when all is open."""
    with jax.default_matmul_precision("highest"):
        moved = jnp.einsum("p,npd->nd", paths, parts.paths)
        neurons = jax.nn.relu((parts.middle[None] + moved) @ model.W_in) - parts.neurons[None]
    return moved, neurons


def _constant(parts: Parts, model: Transformer) -> Float[Array, " n_classes"]:
    """Logits of everything at its mean."""
    with jax.default_matmul_precision("highest"):
        return (parts.middle + parts.neurons @ model.W_out) @ model.W_U


def _pieces(
    parts: Parts, model: Transformer, paths: Float[Array, " paths"]
) -> tuple[Float[Array, " n_classes"], Float[Array, "pieces rows n_classes"]]:
    """Logits of everything at its mean, and what each group and the way past them add."""
    moved, neurons = _inside(parts, model, paths)
    with jax.default_matmul_precision("highest"):
        inside = neurons[None] * parts.groups[:, None]
        streams = jnp.concatenate([inside @ model.W_out, moved[None]])
        return _constant(parts, model), streams @ model.W_U


@partial(jax.jit, static_argnames="class_sizes")
def _try_all(
    parts: Parts,
    model: Transformer,
    paths: Float[Array, "choices paths"],
    through: Float[Array, "others pieces"],
    targets: Int[Array, "rows tasks"],
    class_sizes: tuple[int, ...],
) -> Float[Array, "choices others tasks"]:
    columns = task_columns(class_sizes)
    rights = targets + jnp.array([own.start for own in columns])[None]
    lead = partial(_behind, rights=rights, class_sizes=class_sizes)

    def choice(open_paths: Array) -> Array:
        constant, pieces = _pieces(parts, model, open_paths)
        behind, added = lead(jnp.broadcast_to(constant, pieces.shape[1:])), jax.vmap(lead)(pieces)

        def other(gates: Array) -> Array:
            gap = behind + jnp.einsum("g,gnc->nc", gates, added, precision="highest")
            right = jnp.stack([(gap[:, own] >= 0).sum(axis=1) == 1 for own in columns], axis=1)
            return right.mean(axis=0)

        return jax.lax.map(other, through)

    return jax.lax.map(choice, paths)


def _behind(
    logits: Float[Array, "rows n_classes"],
    rights: Int[Array, "rows tasks"],
    class_sizes: tuple[int, ...],
) -> Float[Array, "rows n_classes"]:
    """Each logit less that of its task's right class, in column ``rights``: additive, as they are.

    An answer is right if nothing else reaches 0, which is found far quicker than an argmax.
    """
    right = jnp.take_along_axis(logits, rights, axis=1)
    return logits - jnp.repeat(right, np.array(class_sizes), axis=1)
