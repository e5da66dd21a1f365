"""The command line: arguments in, one clear line out when something is wrong.

Exit codes: 0 done; 1 something failed (a damaged run, a full disk, a loss that
diverged); 2 what was typed will not do; 130 stopped with Ctrl-C.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click

from .config import field_type, fields
from .presets import PRESETS

# The other modules bring JAX or the book's tools with them, and `miiii --help` should not wait
# for those: each command imports what it needs.

DeviceName = Literal["auto", "cpu", "gpu"]
FOLDER = click.Path(path_type=Path)
STOPPED = 130


class Listed(click.ParamType):
    """A comma-separated list; an empty text is an empty list."""

    name = "a,b,..."

    def __init__(self, item: click.ParamType):
        """Take the type of the items."""
        self.item = item

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        """Split the text and read each item."""
        texts = [text.strip() for text in value.split(",")] if value.strip() else []
        return tuple(self.item.convert(text, param, ctx) for text in texts)


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


def config_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for every field of the configuration."""
    for name, field in reversed(fields().items()):
        names = [f"--{name.replace('_', '-')}", *(["--task"] if name == "name" else [])]
        text = f"{field.metadata['help']}  [{_as_typed(field.default)}]"
        command = click.option(*names, name, type=_option_type(field_type(name)), help=text)(
            command
        )
    return command


def _option_type(kind: Any) -> click.ParamType:
    if get_origin(kind) is Literal:
        return click.Choice(get_args(kind))
    if get_origin(kind) is tuple:
        return Listed(_option_type(get_args(kind)[0]))
    return click.INT if kind is int else click.FLOAT


def _as_typed(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


@click.group(cls=Commands, invoke_without_command=True)
@click.version_option(package_name="miiii-core", prog_name="miiii")
@click.pass_context
def miiii(ctx: click.Context) -> None:
    """Train small transformers on many prime moduli, and look at what they learn."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


device_option = click.option(
    "--device",
    type=click.Choice(get_args(DeviceName)),
    default="auto",
    show_default=True,
    help="where to compute",
)
quiet_option = click.option("--quiet", is_flag=True, help="no progress bar, no summary")


@miiii.command()
@click.option(
    "--preset",
    "base",
    type=click.Choice(list(PRESETS)),
    default="miiii",
    show_default=True,
    help="what to start from",
)
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
        raise Failure(
            f"the book needs {error.name}, which is not installed; "
            "install it with: pip install 'miiii-core[book]'",
            1,
        ) from error
    try:
        page = make_book(find_root(), chapters or None, parse_parameters(pairs), run)
    except (ChapterError, SiteError) as error:
        raise Failure(str(error), 1) from error
    click.echo(f"open {page}")
