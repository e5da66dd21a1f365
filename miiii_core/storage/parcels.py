"""A finished run as a few files small enough to ship: what is rounded, what is left out.

A parcel has the files of a run and is read like one. Its weights are exact to the
bit, and so are shares that were counted, because "all" must not come of "nearly
all"; what else was recorded keeps eleven significant binary digits. Snapshots are
as recorded where all of them fit, else 8 bits a number, the most telling first,
until there is no more room. The snapshot of the end is left out: the weights are
that. What was measured at all snapshots may come along in their place. ``run.json`` says
what was done, under ``packed``.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..config import Config
from .files import SMALLEST, archive
from .metrics import Metrics
from .packing import Method, Note, pack
from .provenance import code_revision
from .saved import Run, RunError, snapshot_path, verify

ROOM_FOR_INFO = 10_000
COUNTED = ("accuracy", "zero_loss_share")
WORTH = (16384, 4096, 1024, 256)  # snapshots near these epochs are wanted most


def parcel(
    run: Run, room: int, measured: Metrics | None = None
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files of a packed run, ``run.json`` not among them, and what that is to say.

    Args:
        run: Finished, and not a parcel itself.
        room: Bytes that all files together may take.
        measured: At snapshots; joins what was recorded.

    Returns:
        Content by name, and the content of ``run.json``.

    Raises:
        RunError: if the run is unfinished, damaged, packed already, or too large to fit
            even without snapshots; says by how much.
    """
    _refuse_unfit(run)
    added = {} if measured is None else {"measured": {"revision": code_revision()}}
    together = run.metrics if measured is None else run.metrics.joined(measured)
    files, recorded = _always(run, together, room)
    snapshots, kept = _snapshots(run, room - ROOM_FOR_INFO - sum(map(len, files.values())))
    return files | snapshots, run.info | {"packed": {"recorded": recorded, **added, **kept}}


def least_size(run: Run, room: int) -> int:
    """Bytes of what always travels, the weights and what was recorded; quicker than `parcel`.

    Raises:
        RunError: as `parcel`.
    """
    _refuse_unfit(run)
    return sum(map(len, _always(run, run.metrics, room)[0].values()))


def by_worth(epochs: Iterable[int], end: int) -> list[int]:
    """Epochs by how much their snapshot adds: those nearest to `WORTH`, then evenly the rest.

    Near and even are meant on a logarithmic scale: each of the rest is the one that is
    farthest from all before it and from the end, whose weights are there anyway.
    """
    left, order = sorted(set(epochs) - {end}), list[int]()
    for wanted in WORTH:
        if near := [e for e in left if e not in order]:
            order.append(min(near, key=lambda epoch: _octaves(epoch, wanted)))
    while rest := [e for e in left if e not in order]:
        taken = [*order, end]
        order.append(max(rest, key=lambda epoch: min(_octaves(epoch, e) for e in taken)))
    return order


def _refuse_unfit(run: Run) -> None:
    if not run.finished:
        raise RunError(
            f"{run.folder} is {run.info['status']} at epoch {run.epoch}: "
            "only a finished run can be packed"
        )
    if run.packed:
        raise RunError(f"{run.folder} is packed already: pack the run that it was made from")
    verify(run)


def _always(run: Run, metrics: Metrics, room: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files that always travel, and what of the metrics is exact and what rounded."""
    arrays, recorded = _metrics(run.config, metrics)
    weights, _ = _weights(run.config, run.model.weights, "exact")
    over = len(arrays) + len(weights) + ROOM_FOR_INFO - room
    if over > 0:
        raise RunError(
            f"{run.folder} takes {over / 1e6:.3f} MB more than the {room / 1e6:g} MB that a "
            "shipped run may have, even without snapshots; record less, or a smaller model"
        )
    return {"metrics.npz": arrays, "weights.npz": weights}, recorded


def _metrics(config: Config, metrics: Metrics) -> tuple[bytes, dict[str, Any]]:
    """What was recorded, and which arrays are exact and which rounded by how much."""
    methods: dict[str, Method] = {n: "exact" if n in COUNTED else "half" for n in metrics}
    parts, notes = pack(metrics, methods)
    header = {"digest": config.digest, "axes": metrics.axes, "packed": notes}
    exact = sorted(name for name, note in notes.items() if note["error"] == 0)
    return archive(parts, header, SMALLEST), {"exact": exact, "rounded": _errors([notes])}


def _weights(
    config: Config, weights: Mapping[str, Any], method: Method
) -> tuple[bytes, dict[str, Note]]:
    arrays = {name: np.asarray(weight) for name, weight in weights.items()}
    parts, notes = pack(arrays, dict.fromkeys(arrays, method))
    return archive(parts, {"digest": config.digest, "packed": notes}, SMALLEST), notes


def _snapshots(run: Run, room: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    """As many snapshots as fit, all as recorded or each 8 bits a number."""
    order = by_worth(run.snapshot_epochs, run.epoch)
    files, notes = _fitting(run, order, "exact", room)
    if len(files) < len(order):
        files, notes = _fitting(run, order, "rows", room)
    ends = {run.epoch} & set(run.snapshot_epochs)
    named = {snapshot_path(Path(), epoch).as_posix(): file for epoch, file in files.items()}
    return named, {
        "snapshots": sorted({*files, *ends}),
        "snapshots_left_out": sorted(order[len(files) :]),
        "snapshots_rounded": _errors(notes),
    }


def _fitting(
    run: Run, order: Sequence[int], method: Method, room: int
) -> tuple[dict[int, bytes], list[dict[str, Note]]]:
    """Snapshots in this order until the room is full."""
    files, notes = dict[int, bytes](), list[dict[str, Note]]()
    for epoch in order:
        content, note = _weights(run.config, run.snapshot(epoch).weights, method)
        room -= len(content)
        if room < 0:
            break
        files[epoch] = content
        notes.append(note)
    return files, notes


def _errors(notes: Sequence[Mapping[str, Note]]) -> dict[str, float]:
    """The largest error of each array that was rounded, to three digits."""
    names = {name for note in notes for name in note}
    errors = {name: max(note[name]["error"] for note in notes) for name in sorted(names)}
    return {name: float(f"{error:.3g}") for name, error in errors.items() if error > 0}


def _octaves(epoch: int, other: int) -> float:
    """How many doublings lie between two epochs."""
    return abs(math.log2(max(epoch, 1) / max(other, 1)))
