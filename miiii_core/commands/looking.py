"""Commands that look at runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ..options import FOLDER, quiet_option
from .failure import Failure

EXISTING = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command("runs")
@click.option("--root", type=EXISTING, help="folder of runs  [the book's, and those shipped]")
@click.option("--verify", is_flag=True, help="read every file; exit 1 if any is damaged")
@click.pass_context
def list_runs(ctx: click.Context, root: Path | None, verify: bool) -> None:
    """List the runs in a folder of runs, or the book's and those shipped with it."""
    from .. import runs
    from ..storage import shipped

    whole = _list(root or runs.runs_root(), verify)
    shelf = None if root else shipped.shipped_root()
    if shelf and shelf.is_dir():
        click.echo(f"\nshipped with the repository, in {shelf}:")
        whole &= _list(shelf, verify)
        for problem in shipped.verify_manifest(shelf) if verify else ():
            whole = False
            click.echo(f"damaged: {problem}")
    ctx.exit(int(verify and not whole))


def _list(root: Path, verify: bool) -> bool:
    """Print the runs of a folder, and say whether all of them are whole."""
    from .. import runs
    from ..report import runs_table

    found = list(runs.find_runs(root, verified=verify))
    click.echo(runs_table(found) if found else f"no runs in {root}")
    return all(isinstance(run, runs.Run) for run in found)


@click.command()
@click.argument("folder", metavar="RUN", type=FOLDER)
@click.option("--name", help="folder among the shipped runs  [name of the preset, or of RUN]")
@click.option("--room", type=click.FloatRange(0, min_open=True), help="MB it may take  [8]")
def pack(folder: Path, name: str | None, room: float | None) -> None:
    """Pack a finished run, so that it travels with the repository.

    Where there is too little room for all snapshots, the most telling ones travel; what the
    chapters ask of snapshots is measured at all of them before, and travels too.
    """
    from ..circuits.history import measure
    from ..report import packed_line
    from ..storage import shipped
    from ..storage.saved import load

    run, root = load(folder), shipped.shipped_root()
    if root is None:
        raise Failure("there is no book here to pack runs for; run this inside a clone", 1)
    place = shipped.place_for(run, root, name)
    divides = max(run.task.moduli) < run.task.p  # what is measured is about n mod q
    bytes_there = None if room is None else int(room * 1e6)
    click.echo(packed_line(shipped.pack(run, place, bytes_there, measure if divides else None)))


@click.command()
@click.argument("folder", type=FOLDER)
def show(folder: Path) -> None:
    """Say what a run was, and what it learned when."""
    from ..report import run_page
    from ..storage.saved import load

    click.echo(run_page(load(folder)))


@click.command()
@click.option("--run", "named", multiple=True, metavar="RUN", help="preset or folder; repeatable")
@click.option("--claim", "keys", multiple=True, help="only this claim; repeatable")
@quiet_option
def claims(named: tuple[str, ...], keys: tuple[str, ...], quiet: bool) -> None:
    """Judge the paper's claims by runs: those named, or all finished ones that are here.

    Several runs of a kind that differ in the seed are judged by their median; where none is
    named, so are the seeds of which the book has the numbers alone. Beside a claim about T_miiii
    stands what a run on shuffled labels would be told, if there is one. Damaged runs are named on
    stderr and left out.
    """
    from .. import claims, runs

    found = [runs.cached(run, progress=not quiet) for run in named] or list(_whole_runs())
    seeds = () if named else claims.stored_seeds()
    ledger = claims.examine_all(claims.gather(found), keys or None, seeds)
    click.echo(repr(claims.with_impostor(ledger)))


def _whole_runs() -> Iterator[Any]:
    """All runs that are here, and a line for each that is damaged."""
    from .. import runs
    from ..storage import shipped

    for root in filter(None, (shipped.shipped_root(), runs.runs_root())):
        for run in runs.find_runs(root):
            if isinstance(run, runs.Run):
                yield run
            else:
                click.echo(f"damaged, left out: {run}", err=True)
