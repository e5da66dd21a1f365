"""The command line: arguments in, one clear line out when something is wrong.

Exit codes: 0 done; 1 something failed (a damaged run, a full disk, a loss that diverged);
2 what was typed is not accepted; 130 stopped with Ctrl-C, 143 and 129 by other signals. Commands
of other packages come by the entry points ``miiii.commands``. JAX is imported once
something is computed, so that help is quick.
"""

import io
import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from tabulate import tabulate

from . import runs, stored
from .config import BATCHABLE, Config, field_type, fields
from .files import RunError
from .presets import PRESETS, nearest_preset, preset
from .stored import Run

COLUMNS = ("run", "task", "p", "status", "epoch", "validation", "worst", "seconds", "device")
FOLDER = click.Path(path_type=Path)
preset_option = click.option(
    "--preset", "base", type=click.Choice(list(PRESETS)), default="miiii", show_default=True,
    help="what to start from",
)  # fmt: skip
device_option = click.option(
    "--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True,
    help="where to compute",
)  # fmt: skip
quiet_option = click.option("--quiet", is_flag=True, help="no progress bar, no summary")


class Commands(click.Group):
    """A group of commands whose expected errors are said in one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; raise ClickException for what can fail though the code is right."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise click.ClickException(str(error) or "stopped") from error
        except (BrokenPipeError, click.exceptions.Exit, click.ClickException):
            raise  # ends `miiii runs | head` quietly, among others
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        except Exception as error:
            from jax.errors import JaxRuntimeError

            from .batch import find_device

            known = (RunError, OSError, FloatingPointError, MemoryError, JaxRuntimeError)
            if isinstance(error, known):
                raise click.ClickException(str(error)) from error
            try:
                find_device("auto")
            except ValueError as why:  # nothing could have been computed
                raise click.UsageError(str(why)) from error
            raise


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what a terminal has no letters for
    for added in entry_points(group="miiii.commands"):
        miiii.add_command(added.load(), added.name)
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except OSError as error:  # the device that is written to is full, or gone
        sys.stdout, code = open(os.devnull, "w", encoding="utf-8"), 1
        with suppress(OSError):
            click.echo(f"miiii: nothing more could be written: {error.strerror}", err=True)
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        return int(miiii.main(arguments, prog_name="miiii", standalone_mode=False) or 0)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" See: {context.command_path} --help" if context else ""
        with suppress(OSError):  # nobody may be there to read it
            click.echo(f"miiii: {error.format_message()}{hint}", err=True)
        if isinstance(error.__cause__, KeyboardInterrupt):
            return 128 + int(getattr(error.__cause__, "number", signal.SIGINT))
        return error.exit_code
    except click.Abort:
        return 130


# A field of the configuration as an option


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


class _Listed(click.ParamType):
    """A comma-separated list; an empty text is an empty list."""

    name = "a,b,..."

    def __init__(self, item: click.ParamType) -> None:
        self.item = item

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[Any, ...]:
        texts = [text.strip() for text in value.split(",")] if value.strip() else []
        return tuple(self.item.convert(text, param, ctx) for text in texts)


def option_type(kind: Any) -> click.ParamType:
    """Return how a value of a field's type, from `config.field_type`, is typed and read."""
    if get_origin(kind) is Literal:
        return click.Choice(get_args(kind))
    if get_origin(kind) is tuple:
        return _Listed(option_type(get_args(kind)[0]))
    return click.types.convert_type(kind)


def config_options(command: Callable[..., None], several: bool = False) -> Callable[..., None]:
    """Give a command an option for every field; those in `BATCHABLE` may take several values."""
    for name, field in reversed(fields().items()):
        usual, kind, text = field.default, option_type(field_type(name)), field.metadata["help"]
        if several and name in BATCHABLE:
            kind, text = _Listed(kind), f"{text}; several values train at once"
        shown = ",".join(map(str, usual)) if isinstance(usual, tuple) else _short(usual)
        names = [f"--{name.replace('_', '-')}", *(["--task"] if name == "name" else [])]
        command = click.option(*names, name, type=kind, help=f"{text}  [{shown}]")(command)
    return command


# The commands


@click.group(cls=Commands, invoke_without_command=True)
@click.version_option(package_name="miiii-core", prog_name="miiii")
@click.pass_context
def miiii(ctx: click.Context) -> None:
    """Train small transformers on many prime moduli, and look at what they learn."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@miiii.command()
@preset_option
@click.option("--out", type=FOLDER, help="folder of the run, or of several  [among the book's]")
@device_option
@quiet_option
@partial(config_options, several=True)
def train(base: str, out: Path | None, device: Any, quiet: bool, **given: Any) -> None:
    """Train a run into a new folder, or several at once.

    Options left out are the preset's; in brackets stand those of the preset miiii. With several
    values, such as --seed 0,1,2, every combination is trained, each into a folder below --out.
    Ctrl-C saves, and `miiii resume` goes on.
    """
    changes = {name: value for name, value in given.items() if value is not None}
    found = {}
    for name, config in _combinations(preset(base), changes):
        found[out / name if out else runs.cache_folder(config)] = config
    done = runs.train_many(found, device=device, progress=not quiet)
    if not quiet:
        click.echo(run_page(done[0]) if len(done) == 1 else runs_table(done))
    if diverged := [str(run.folder) for run in done if not run.finished]:
        raise click.ClickException(f"the loss did not stay finite in {', '.join(diverged)}")


@miiii.command()
@click.argument("folder", type=FOLDER)
@device_option
@quiet_option
def resume(folder: Path, device: Any, quiet: bool) -> None:
    """Go on with a run that was stopped or killed."""
    run = runs.resume(folder, device=device, progress=not quiet)
    if not quiet:
        click.echo(run_page(run))


@miiii.command("runs")
@click.option(
    "--root", type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="folder of runs  [the book's, and those shipped]",
)  # fmt: skip
@click.option("--verify", is_flag=True, help="read every file; exit 1 if any is damaged")
@click.pass_context
def list_runs(ctx: click.Context, root: Path | None, verify: bool) -> None:
    """List the runs in a folder of runs, or the book's and those shipped with it."""
    whole = True
    for place in filter(None, [root] if root else [runs.runs_root(), runs.shipped_root()]):
        found = list(stored.find_runs(place, verified=verify))
        click.echo(f"{place}:\n{runs_table(found)}\n" if found else f"no runs in {place}\n")
        whole &= all(isinstance(run, stored.Run) for run in found)
    ctx.exit(int(verify and not whole))


@miiii.command()
@click.argument("folder", metavar="RUN", type=FOLDER)
def show(folder: Path) -> None:
    """Say what a run was, and what it learned when."""
    click.echo(run_page(runs.load(folder)))


def _combinations(base: Config, changes: dict[str, Any]) -> Iterator[tuple[str, Config]]:
    """Every combination of listed values, under a name made of the fields that have several."""
    lists = {field: changes.pop(field) for field in BATCHABLE if field in changes}
    for field, values in lists.items():
        if not values or len(set(values)) < len(values):
            text = ",".join(map(str, values))
            raise ValueError(f"{field}={text!r} is not accepted; give values, each of them once")
    common = base.replace(**changes)
    for values in itertools.product(*lists.values()):
        chosen = dict(zip(lists, values, strict=True))
        name = ",".join(f"{f}={chosen[f]}".removesuffix(".0") for f in chosen if len(lists[f]) > 1)
        yield name, common.replace(**chosen)


# Runs in words


def runs_table(found: Sequence[Run | RunError]) -> str:
    """Return a line for each run; validation and worst are the mean and least last accuracy."""
    rows, damaged = [COLUMNS], []
    for run in found:
        if isinstance(run, Exception):
            damaged.append(f"damaged: {run}")
            continue
        last = run.metrics.split("accuracy", "validation")[-1] if run.metrics else None
        mean, worst = ("-", "-") if last is None else (f"{last.mean():.3f}", f"{last.min():.3f}")
        info, task, epoch = run.info, run.config.task, f"{run.epoch}/{run.config.train.epochs}"
        own = (run.folder.name, task.name, str(task.p), info["status"], epoch, mean, worst)
        rows.append((*own, f"{info['wall_seconds']:.0f}", info["device"]))
    return "\n".join([columns(rows), *damaged])


def run_page(run: Run) -> str:
    """Say what a run is and, task by task, what it has learned and when."""
    from .losses import MASTERED, NEVER, first_epoch

    info, (name, differs) = run.info, nearest_preset(run.config)
    settled = f" (settled since {info['settled_since']})" if info["settled_since"] >= 0 else ""
    lines = [
        f"{run.folder}: {info['status']} at epoch {run.epoch} of {run.config.train.epochs}"
        f"{settled}, {info['wall_seconds']:.0f} s on {info['device']}",
        f"started {info['started']}, digest {info['digest']}, "
        f"revision {info['sessions'][-1]['code_revision']}",
        f"as preset {name}" + (", with" if differs else ""),
        *(f"  {field} = {value!r} (preset: {usual!r})" for field, value, usual in differs),
    ]
    if not run.metrics:
        return "\n".join([*lines, "nothing was recorded yet"])
    header = ("task", "train", "validation", f"train {MASTERED}", f"validation {MASTERED}")
    rows: list[tuple[str, ...]] = [header]
    for i, modulus in enumerate(run.task.moduli):
        both = [run.metrics.split("accuracy", split)[:, i] for split in ("train", "validation")]
        epochs = (first_epoch(run.metrics["epoch"], accuracy, MASTERED) for accuracy in both)
        reached = ("-" if epoch == NEVER else f"{epoch:,.0f}" for epoch in epochs)
        rows.append((f"mod {modulus}", *(f"{a[-1]:.3f}" for a in both), *reached))
    note = f"(at {MASTERED}: first recorded epoch of that accuracy, - for never)"
    return "\n".join([*lines, "", columns(rows), note])


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return lines of columns, the first aligned to the left and the rest to the right."""
    sides = ("left", *["right"] * (len(rows[0]) - 1))
    return tabulate(rows, tablefmt="plain", colalign=sides, disable_numparse=True)
