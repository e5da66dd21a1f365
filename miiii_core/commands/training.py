"""Commands that make runs."""

from pathlib import Path
from typing import Any

import click

from ..options import (
    FOLDER,
    DeviceName,
    config_options,
    device_option,
    preset_option,
    quiet_option,
    read_value,
    sweep_options,
)
from .failure import Failure, missing


@click.command()
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
    from .. import runs

    changes = {name: value for name, value in given.items() if value is not None}
    folder, config = runs.cache_folder(base, **changes)
    _say(runs.train(config, out or folder, device=device, progress=not quiet), quiet)


@click.command()
@click.argument("folder", type=FOLDER)
@device_option
@quiet_option
def resume(folder: Path, device: DeviceName, quiet: bool) -> None:
    """Go on with a run that was stopped or killed."""
    from .. import runs

    _say(runs.resume(folder, device=device, progress=not quiet), quiet)


@click.command()
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
    from .. import sweep_runs
    from ..presets import preset
    from ..report import runs_table

    configs = sweep_runs.products(out, preset(base), given)
    done = sweep_runs.train_many(configs, device=device, abreast=abreast, progress=not quiet)
    if not quiet:
        click.echo(runs_table(done))
    if diverged := [str(run.folder) for run in done if not run.finished]:
        raise Failure(f"the loss did not stay finite in {', '.join(diverged)}", 1)


@click.command()
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
        from .. import search as searching
    except ModuleNotFoundError as error:
        raise missing("a search", error, "search") from error
    import jax

    from ..presets import preset
    from ..report import search_table
    from ..training.devices import find_device

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


def _say(run: Any, quiet: bool) -> None:
    from ..report import one_line

    if not quiet:
        click.echo(one_line(run))
