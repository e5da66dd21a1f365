"""Prints the benchmark: ``python -m benchmarks``, or ``make bench``."""

import json
import os
from pathlib import Path
from typing import Any

import click
import jax

from miiii_core.config import Config
from miiii_core.options import Listed
from miiii_core.presets import preset
from miiii_core.storage.provenance import device_name, versions

from .measurements import compare_steps, import_seconds, why_no_torch
from .report import sizes_report, steps_report
from .sizes import Sizes, size_rows
from .sweeps import sweep_rows, sweeps_report

MODULES = ("jax", "miiii_core", "miiii_core.config", "miiii_core.training.train", "miiii_core.runs")
SIZES = "31,59,113,151,199"
QUIET = 0.5  # load average up to which a machine counts as idle
SIZED = "miiii"  # the preset that the table over p varies
SWEPT = "miiii-small"  # the preset that sweeps train


@click.command(context_settings={"show_default": True})
@click.option("--rounds", default=5, type=click.IntRange(1), help="turns that each version takes")
@click.option("--seconds", default=2.0, type=click.FloatRange(0.01), help="length of a turn")
@click.option("--preset", "names", multiple=True, default=("miiii-small", "miiii"), help="what")
@click.option("--sizes", default=SIZES, type=Sizes(), help="p's of the table; '' for none")
@click.option("--runs", default="1,2,4,8", type=Listed(click.IntRange(1)), help="in sweeps")
@click.option("--json", "path", type=click.Path(path_type=Path), help="also write a JSON file")
def main(
    rounds: int,
    seconds: float,
    names: tuple[str, ...],
    sizes: tuple[int, ...],
    runs: tuple[int, ...],
    path: Path | None,
) -> None:
    """Compare our training step with others, and with itself over sizes."""
    result: dict[str, Any] = surroundings()
    result["steps"] = {}
    for name in names:
        result["steps"][name] = compare_steps(preset(name), rounds, seconds)
        click.echo(f"\n{name}: {steps_report(result['steps'][name])}")
    result["sweeps"] = sweep_rows(preset(SWEPT), runs, rounds, seconds) if runs else []
    if runs:
        click.echo(f"\n{SWEPT}: {sweeps_report(result['sweeps'])}")
    result["sizes"] = size_table(preset(SIZED), sizes, seconds)
    if path:
        path.write_text(json.dumps(result, indent=2) + "\n")


def surroundings() -> dict[str, Any]:
    """Print and return the machine, what is installed, and what importing takes."""
    result: dict[str, Any] = {"machine": machine(jax.devices()[0]), "versions": versions()}
    click.echo(f"machine       {result['machine']}")
    click.echo(f"versions      {', '.join(f'{k} {v}' for k, v in result['versions'].items())}")
    result["torch"] = torch_versions()
    click.echo(f"torch         {', '.join(result['torch'].values())}")
    result["load"] = os.getloadavg()[0]
    click.echo(f"load          {load_report(result['load'])}\n")
    result["import_s"] = {name: import_seconds(name) for name in MODULES}
    for name, spent in result["import_s"].items():
        click.echo(f"import        {name:20} {spent:6.2f} s")
    return result


def load_report(load: float) -> str:
    """How busy others keep the machine, and what to do about it."""
    if load <= QUIET:
        return f"{load:.1f}"
    return (
        f"{load:.1f}: others compute here. PyTorch's threads spin while they wait, and lose more "
        "by it than ours; one core compares them fairly: taskset -c 0 python -m benchmarks"
    )


def torch_versions() -> dict[str, str]:
    """PyTorch's version and how it multiplies, or why it is left out."""
    if problem := why_no_torch():
        return {"left out": problem}
    from . import in_torch

    return in_torch.torch_versions()


def size_table(config: Config, sizes: tuple[int, ...], seconds: float) -> list[dict[str, Any]]:
    """Measure and print the table over p."""
    if not sizes:
        return []
    with click.progressbar(
        size_rows(config, sizes, seconds), label="sizes", length=len(sizes)
    ) as bar:
        rows = list(bar)
    precision, width = config.model.precision, config.model.d_model
    click.echo(f"\n{SIZED} at other p, d_model {width}, in {precision}: {sizes_report(rows)}")
    return rows


def machine(device: jax.Device) -> str:
    """The device, the processor's own name where the system tells it, and its cores."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    processors = {line.split(":")[1].strip() for line in lines if line.startswith("model name")}
    return ", ".join([device_name(device), *sorted(processors), f"{os.cpu_count()} cores"])


if __name__ == "__main__":
    main()
