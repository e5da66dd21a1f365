"""Commands of the book, which the core's command line finds by their entry points.

The book's tools take seconds to import, so that each command imports what it needs.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from miiii_core import cli
from miiii_core.config import field_type, fields
from miiii_core.presets import preset

MANY = click.IntRange(1)


@click.command()
@click.option("--run", help="preset or folder for the chapters that read a run")
@click.option("-p", "pairs", multiple=True, metavar="NAME=VALUE", help="parameter of the chapters")
@click.option("--chapter", "chapters", multiple=True, help="only for this chapter; repeatable")
def book(run: str | None, pairs: tuple[str, ...], chapters: tuple[str, ...]) -> None:
    """Execute the chapters that are stale and build the site."""
    with _installed("book"):
        from . import build
        from .chapters import find_root, parse_parameters
        from .site import build_site
    root = find_root()
    parameters = parse_parameters(pairs) | ({"run": run} if run else {})
    page = build_site(root, build.execute_stale(build.plan(root, chapters, parameters)))
    click.echo(f"open {page}")


@click.command()
@click.option("--run", "named", multiple=True, metavar="RUN", help="preset or folder; repeatable")
@click.option("--claim", "keys", multiple=True, help="only this claim; repeatable")
@click.option(
    "--json", "as_json", is_flag=True, help="criteria, controls and the numbers of every seed"
)
@click.option("--measure", is_flag=True, help="measure the runs anew, whatever is stored of them")
def claims(named: tuple[str, ...], keys: tuple[str, ...], as_json: bool, measure: bool) -> None:
    """Judge the paper's claims by runs: those named, or those that come with the book.

    What is stored of these runs and of their other seeds is not measured again.
    """
    with _installed("book"):
        from miiii_core import runs

        from . import ledger, numbers
    found = [runs.cached(run) for run in named] or runs.shipped_runs()
    stored = [] if measure else numbers.stored_rows()
    page = ledger.examine_all(ledger.gather(found), keys or None, stored)
    click.echo(json.dumps(page.to_json(), indent=2, ensure_ascii=False) if as_json else page)


@click.command()
@click.argument("named", metavar="RUN")
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="the file to write")
def explore(named: str, out: str) -> None:
    """Write a page in which a run, a preset or a folder, can be asked, broken and looked into.

    It is a single file that works from a disk, without a network.
    """
    with _installed("book"):
        from miiii_core import runs
        from miiii_core.files import write_atomic

        from . import explore as exploring
    content = exploring.page(runs.cached(named)).encode()
    write_atomic(Path(out), content)
    click.echo(f"open {out} ({len(content) / 1e6:.1f} MB)")


@click.command()
@cli.preset_option
@click.option("--trials", type=MANY, default=32, show_default=True, help="trials of the study")
@click.option("--storage", help="any Optuna storage URL  [a SQLite file among the runs]")
@click.option("--study", help="first part of its name in the storage  [the task's]")
@click.option("--choice", "choices", multiple=True, metavar="FIELD=A,B", help="values to try")
@cli.device_option
@cli.quiet_option
@cli.config_options
def search(base: str, trials: int, storage: str | None, study: str | None,
           choices: tuple[str, ...], device: Any, quiet: bool, **given: Any) -> None:  # fmt: skip
    """Search hyperparameters with Optuna; called again, it goes on.

    Tries the values of the paper's Table 1 (smaller ones at a small p); each --choice adds a field
    or replaces its values.
    """
    import jax

    with _installed("search"):
        from miiii_core.batch import find_device

        from . import search as searching
        from .spaces import SMALL, TABLE_1
    config = preset(base).replace(**{k: v for k, v in given.items() if v is not None})
    space = {**(TABLE_1 if config.task.p > 100 else SMALL), **dict(map(_choice, choices))}
    with jax.default_device(find_device(device)):
        done = searching.search(config, space, trials, name=study, storage=storage,
                                seed=config.train.seed, progress=not quiet)  # fmt: skip
    rows = [["trial", *space, "loss", "accuracy", "epoch"]]
    for one in searching.results(done):
        loss, accuracy, epoch = one.user_attrs["scores"]
        until = f"{epoch:,} pruned" if one.state.name == "PRUNED" else f"{epoch:,}"
        values = map(str, one.params.values())
        rows.append([str(one.number), *values, f"{loss:.4f}", f"{accuracy:.3f}", until])
    if not quiet:
        click.echo(cli.columns(rows))


@click.command()
@click.option("--course", type=click.Choice(["miiii", "nanda"]), default="miiii", show_default=True)
@click.option("--small", is_flag=True, help="a course of minutes, with few trials and seeds")
@click.option("--entry", "entries", multiple=True, metavar="MODULE:FUNCTION",
              help="an update rule of your own, beside the others; repeatable")  # fmt: skip
@click.option("--only", multiple=True, metavar="NAME", help="only this entrant; repeatable")
@click.option("--trials", type=MANY, help="trials of each one's search  [24; small: 6]")
@click.option("--seeds", type=MANY, help="fresh seeds of the best setting  [5; small: 3]")
@click.option("--storage", help="any Optuna storage URL  [a file among the runs]")
@cli.quiet_option
def race(
    course: str, small: bool, entries: tuple[str, ...], only: tuple[str, ...], trials: int | None,
    seeds: int | None, storage: str | None, quiet: bool,
) -> None:  # fmt: skip
    """Race recipes against each other: who makes a small network generalise soonest?

    Each tunes its hyperparameters with the same number of trials and then trains from fresh seeds.
    What is stored is not trained again: without options the race of the book is shown.

    Your own rule is a function of learning rate and weight decay that returns an optax
    transformation: --entry my_rules:lion, with my_rules.py in this folder.
    """
    with _installed("search"):
        from . import race as racing
    if small and course != "miiii":
        raise ValueError("--small is a course of its own, of T_miiii; leave out --course")
    config, usual = racing.COURSES["small" if small else course], (6, 3) if small else (24, 5)
    known = racing.ENTRANTS | {path: racing.entrant_of(path) for path in entries}
    if unknown := set(only) - set(known):
        raise ValueError(f"no entrant is called {sorted(unknown)}; there are {', '.join(known)}")
    found = racing.race(
        config, [known[name] for name in only or known], n_trials=trials or usual[0],
        seeds=range(1, 1 + (seeds or usual[1])), storage=storage, progress=not quiet,
    )  # fmt: skip
    click.echo(cli.columns(racing.table(found)))


def _choice(text: str) -> tuple[str, tuple[Any, ...]]:
    """Return a field and the values to choose from, of ``field=a,b``."""
    field, separator, values = text.partition("=")
    if not separator:
        raise ValueError(f"--choice {text!r} will not do; write it as field=a,b like dropout=0,0.1")
    name = field.replace("-", "_")
    kind = cli.option_type(field_type(name)) if name in fields() else click.STRING
    return name, tuple(kind.convert(value, None, None) for value in values.split(",") if value)


@contextmanager
def _installed(extra: str) -> Iterator[None]:
    """Say what to install where an import fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"this needs {error.name}, which is not installed; "
            f"install it with: pip install 'miiii-core[{extra}]'"
        ) from error
