"""Runs in words: one line each for a table, or a page about one."""

from collections.abc import Sequence
from typing import Any

from .milestones import MASTERED, first_epoch
from .presets import nearest_preset
from .storage.saved import Run, RunError, command, recorded
from .training.schedule import SETTLED

COLUMNS = ("run", "task", "p", "status", "epoch", "validation", "worst", "seconds", "device")


def runs_table(found: Sequence[Run | RunError]) -> str:
    """One line for each run; validation and worst are the mean and least last accuracy."""
    good = [run for run in found if isinstance(run, Run)]
    damaged = [f"damaged: {error}" for error in found if isinstance(error, RunError)]
    return "\n".join([*_aligned([COLUMNS, *map(_row, good)]), *damaged])


def one_line(run: Run) -> str:
    """How a finished run did."""
    last = run.metrics.split("accuracy", "validation")[-1]
    return (
        f"finished {run.folder} at epoch {run.epoch}{_why_early(run)}: "
        f"validation accuracy {last.mean():.3f} on average, "
        f"{last.min():.3f} on mod {run.task.moduli[int(last.argmin())]}; "
        f"more with: {command('show', run.folder)}"
    )


def packed_line(run: Run) -> str:
    """What became of a run that was packed."""
    packed = run.packed or {}
    kept, lost = len(run.snapshot_epochs), len(packed["snapshots_left_out"])
    size = sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file())
    how = "rounded to 8 bits" if packed["snapshots_rounded"] else "as recorded"
    return (
        f"packed {run.folder}: {size / 1e6:.3f} MB, "
        f"{kept} of {kept + lost} snapshots, {how}; commit it and the manifest beside it"
    )


def run_page(run: Run) -> str:
    """Status, configuration and, task by task, what a run has learned and when.

    Raises:
        RunError: if what was recorded is damaged.
    """
    info = run.info
    name, differs = nearest_preset(run.config)
    lines = [
        f"{run.folder}: {info['status']} at epoch {run.epoch} of {run.config.train.epochs}"
        f"{_why_early(run)}, "
        f"{info['wall_seconds']:.0f} s on {info['device']}",
        f"started {info['started']}, revision {info['code_revision']}, digest {info['digest']}",
        f"as preset {name}" + (", with" if differs else ""),
        *(f"  {field} = {value!r} (preset: {usual!r})" for field, value, usual in differs),
        "",
    ]
    metrics = recorded(run)
    return "\n".join(lines + (["nothing was recorded yet"] if metrics is None else _tasks(run)))


def search_table(found: Sequence[Any], most: int = 10) -> str:
    """The best of some `search.Result`, and how many there are."""
    pruned = sum(result.pruned for result in found)
    fields = list(found[0].parameters) if found else []
    header = ("trial", *fields, "loss", "accuracy", "epoch")
    rows = [
        (
            str(result.number),
            *(_short(result.parameters[name]) for name in fields),
            f"{result.loss:.4f}",
            f"{result.accuracy:.3f}",
            f"{result.epoch}{' (pruned)' if result.pruned else ''}",
        )
        for result in found[:most]
    ]
    total = f"{len(found)} trials, {pruned} of them pruned; validation loss, an even guess has 1"
    return "\n".join([*_aligned([header, *rows]), total])


def _short(value: Any) -> str:
    """A value of a field: a number without what rounding left of it, or a name."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _why_early(run: Run) -> str:
    """Why a run ended before its last epoch, in brackets."""
    if not run.stopped_early:
        return ""
    return f" (all tasks at {SETTLED:g} in validation since epoch {run.info['settled_since']})"


def _row(run: Run) -> tuple[str, ...]:
    metrics = recorded(run)
    last = None if metrics is None else metrics.split("accuracy", "validation")[-1]
    mean, worst = ("-", "-") if last is None else (f"{last.mean():.3f}", f"{last.min():.3f}")
    return (
        run.folder.name,
        run.config.task.name,
        str(run.config.task.p),
        run.info["status"],
        f"{run.epoch}/{run.config.train.epochs}",
        mean,
        worst,
        f"{run.info['wall_seconds']:.0f}",
        run.info["device"],
    )


def _tasks(run: Run) -> list[str]:
    """One line a task: last accuracies, and when each split was learned."""
    epochs = run.metrics["epoch"]
    header = ("task", "train", "validation", f"train {MASTERED}", f"validation {MASTERED}")
    rows: list[tuple[str, ...]] = [header]
    for i, modulus in enumerate(run.task.moduli):
        splits = [run.metrics.split("accuracy", s)[:, i] for s in ("train", "validation")]
        reached = [first_epoch(epochs, accuracy) for accuracy in splits]
        accuracies = [f"{accuracy[-1]:.3f}" for accuracy in splits]
        rows.append(
            (f"mod {modulus}", *accuracies, *("-" if e is None else str(e) for e in reached))
        )
    lines = _aligned(rows)
    return [*lines, f"({header[3]}, {header[4]}: first recorded epoch at that accuracy)"]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns padded to their widest cell, the first to the left and the rest to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
