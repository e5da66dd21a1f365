"""The command line: arguments in, one clear line out when something is wrong.

Exit codes: 0 done; 1 something failed (a damaged run, a full disk, a loss that
diverged); 2 what was typed will not do; 130 stopped with Ctrl-C.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from .options import (
    DeviceName,
    config_options,
    device_option,
    preset_option,
    quiet_option,
    read_value,
    sweep_options,
)

# The other modules bring JAX or the book's tools with them, and `miiii --help` should not wait
# for those: each command imports what it needs.

FOLDER = click.Path(path_type=Path)
STOPPED = 130


class Failure(Exception):
    """An expected failure: what to say, and how to exit."""

    def __init__(self, message: str, code: int):
        """Take both."""
        super().__init__(message)
        self.code = code


class Commands(click.Group):
    """Commands whose expected failures end without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Failure(str(error) or "stopped", STOPPED) from error
        except BrokenPipeError:  # `miiii runs | head`: click ends quietly
            raise
        except ValueError as error:
            raise Failure(str(error), 2) from error
        except _expected() as error:
            raise Failure(str(error), 1) from error


def _expected() -> tuple[type[Exception], ...]:
    """What can fail though nothing is wrong with the arguments or the code."""
    from jax.errors import JaxRuntimeError

    from .storage import RunError

    return (RunError, OSError, FloatingPointError, MemoryError, JaxRuntimeError)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    try:
        code = miiii.main(arguments, prog_name="miiii", standalone_mode=False)
    except Failure as error:
        code = error.code
        click.echo(f"miiii: {error}", err=True)
    except click.ClickException as error:
        code = error.exit_code
        click.echo(f"miiii: {error.format_message()}{_where_to_look(error)}", err=True)
    except click.Abort:
        code = STOPPED
    sys.exit(code)


def _where_to_look(error: click.ClickException) -> str:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f" See: {error.ctx.command_path} --help"
    return ""


def _say(run: Any, quiet: bool) -> None:
    from .report import one_line

    if not quiet:
        click.echo(one_line(run))


@click.group(cls=Commands, invoke_without_command=True)
@click.version_option(package_name="miiii-core", prog_name="miiii")
@click.pass_context
def miiii(ctx: click.Context) -> None:
    """Train small transformers on many prime moduli, and look at what they learn."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@miiii.command()
@preset_option
@click.option("--out", type=FOLDER, help="folder of the run  [among the book's runs]")
@device_option
@quiet_option
@config_options
def train(base: str, out: Path | None, device: DeviceName, quiet: bool, **given: Any) -> None:
    """Train a run into a new folder.

    Options left out are the preset's; in brackets stand those of the preset miiii.
    Ctrl-C saves, and `miiii resume` goes on.
    """
    from . import runs

    changes = {name: value for name, value in given.items() if value is not None}
    folder, config = runs.cache_folder(base, **changes)
    _say(runs.train(config, out or folder, device=device, progress=not quiet), quiet)


@miiii.command()
@click.argument("folder", type=FOLDER)
@device_option
@quiet_option
def resume(folder: Path, device: DeviceName, quiet: bool) -> None:
    """Go on with a run that was stopped or killed."""
    from . import runs

    _say(runs.resume(folder, device=device, progress=not quiet), quiet)


@miiii.command()
@preset_option
@click.option("--out", type=FOLDER, required=True, help="folder for a folder of each run")
@click.option("--abreast", type=int, help="runs stepped side by side  [all on a GPU]")
@device_option
@quiet_option
@sweep_options
def sweep(
    base: str, out: Path, abreast: int | None, device: DeviceName, quiet: bool, **given: Any
) -> None:
    """Train every combination of some values at once, each into a folder below --out.

    Seeds, rates, decay, filter and dropout take lists, such as --seed 0,1,2. Other options
    are as for `miiii train`. Ctrl-C saves, and `miiii resume` goes on with each run.
    """
    from . import sweep_runs
    from .presets import preset
    from .report import runs_table

    configs = sweep_runs.products(out, preset(base), given)
    done = sweep_runs.train_many(configs, device=device, abreast=abreast, progress=not quiet)
    if not quiet:
        click.echo(runs_table(done))
    if diverged := [str(run.folder) for run in done if not run.finished]:
        raise Failure(f"the loss did not stay finite in {', '.join(diverged)}", 1)


@miiii.command()
@preset_option
@click.option("--trials", default=32, show_default=True, help="trials that the study shall have")
@click.option("--batch", type=int, help="trials trained side by side  [1 on a CPU, else 8]")
@click.option("--storage", help="any Optuna storage URL  [a SQLite file among the runs]")
@click.option("--study", help="its name in the storage  [made from what is searched]")
@click.option("--choice", "choices", multiple=True, metavar="FIELD=A,B", help="values to try")
@device_option
@quiet_option
@config_options
def search(
    base: str,
    trials: int,
    batch: int | None,
    storage: str | None,
    study: str | None,
    choices: tuple[str, ...],
    device: DeviceName,
    quiet: bool,
    **given: Any,
) -> None:
    """Search hyperparameters with Optuna; called again, it goes on.

    Tries the values of the paper's Table 1 (smaller ones with a small preset); each --choice
    adds a field or replaces its values. Other options are as for `miiii train`.
    """
    try:
        from . import search as searching
    except ModuleNotFoundError as error:
        raise _missing("a search", error, "search") from error
    import jax

    from .devices import find_device
    from .presets import preset
    from .report import search_table

    config = preset(base).replace(**{k: v for k, v in given.items() if v is not None})
    space = searching.space_for(config) | dict(map(_choice, choices))
    target = find_device(device)
    batch = batch or (1 if target.platform == "cpu" else 8)
    with jax.default_device(target):
        try:
            done = searching.search(
                config, space, trials, name=study, storage=storage, batch=batch,
                seed=config.train.seed, progress=not quiet,
            )  # fmt: skip
        except searching.SearchError as error:
            raise Failure(str(error), 1) from error
    if not quiet:
        click.echo(search_table(searching.results(done)))


def _choice(text: str) -> tuple[str, tuple[Any, ...]]:
    """A field and the values to choose from, of ``field=a,b``."""
    field, separator, values = text.partition("=")
    if not separator:
        raise ValueError(f"--choice {text!r} will not do; write it as field=a,b like dropout=0,0.1")
    name = field.replace("-", "_")
    return name, tuple(read_value(name, value) for value in values.split(",") if value)


def _missing(what: str, error: ModuleNotFoundError, extra: str) -> Failure:
    """What to say when an optional library is not there."""
    return Failure(
        f"{what} needs {error.name}, which is not installed; "
        f"install it with: pip install 'miiii-core[{extra}]'",
        1,
    )


@miiii.command("runs")
@click.option("--root", type=FOLDER, help="folder of runs  [the book's, and those shipped with it]")
@click.option("--verify", is_flag=True, help="read every file; exit 1 if any is damaged")
@click.pass_context
def list_runs(ctx: click.Context, root: Path | None, verify: bool) -> None:
    """List the runs in a folder of runs, or the book's and those shipped with it."""
    from . import runs, shipped

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
    from . import runs
    from .report import runs_table

    found = list(runs.find_runs(root, verified=verify))
    click.echo(runs_table(found) if found else f"no runs in {root}")
    return all(isinstance(run, runs.Run) for run in found)


@miiii.command()
@click.argument("folder", metavar="RUN", type=FOLDER)
@click.option("--name", help="folder among the shipped runs  [name of the preset, or of RUN]")
def pack(folder: Path, name: str | None) -> None:
    """Pack a finished run, so that it travels with the repository."""
    from . import shipped
    from .report import packed_line
    from .storage import load

    run, root = load(folder), shipped.shipped_root()
    if root is None:
        raise Failure("there is no book here to pack runs for; run this inside a clone", 1)
    click.echo(packed_line(shipped.pack(run, shipped.place_for(run, root, name))))


@miiii.command()
@click.argument("folder", type=FOLDER)
def show(folder: Path) -> None:
    """Say what a run was, and what it learnt when."""
    from .report import run_page
    from .storage import load

    click.echo(run_page(load(folder)))


@miiii.command()
@click.option("--run", help="preset or folder for the chapters that read a run")
@click.option("-p", "pairs", multiple=True, metavar="NAME=VALUE", help="parameter of the chapters")
@click.option("--chapter", "chapters", multiple=True, help="only for this chapter; repeatable")
def book(run: str | None, pairs: tuple[str, ...], chapters: tuple[str, ...]) -> None:
    """Execute the chapters that are stale and build the site."""
    try:
        from .book import ChapterError
        from .chapters import find_root, parse_parameters
        from .site import SiteError, make_book
    except ModuleNotFoundError as error:
        raise _missing("the book", error, "book") from error
    try:
        page = make_book(find_root(), chapters or None, parse_parameters(pairs), run)
    except (ChapterError, SiteError) as error:
        raise Failure(str(error), 1) from error
    click.echo(f"open {page}")
