"""Prints the benchmark: ``python -m benchmarks``, or ``make bench``."""

import json
import os
from pathlib import Path
from typing import Any

import click
import jax

from miiii_core.presets import preset
from miiii_core.provenance import device_name, versions

from .measurements import compare_steps, import_seconds

MODULES = ("jax", "miiii_core", "miiii_core.config", "miiii_core.train", "miiii_core.runs")
HEADER = "epochs/s      p  d_model  inputs  classes     ours    plain   ratio (from - to)"


@click.command(context_settings={"show_default": True})
@click.option("--rounds", default=5, type=click.IntRange(1), help="turns that each version takes")
@click.option("--seconds", default=3.0, type=click.FloatRange(0.01), help="length of a turn")
@click.option("--preset", "names", multiple=True, default=("miiii-small", "miiii"), help="what")
@click.option("--json", "path", type=click.Path(path_type=Path), help="also write a JSON file")
def main(rounds: int, seconds: float, names: tuple[str, ...], path: Path | None) -> None:
    """Compare our training step with a plain one, and time what surrounds it."""
    device = jax.devices()[0]
    result: dict[str, Any] = {"machine": machine(device), "versions": versions()}
    click.echo(f"machine       {result['machine']}")
    click.echo(f"versions      {', '.join(f'{k} {v}' for k, v in result['versions'].items())}\n")
    result["import_s"] = {name: import_seconds(name) for name in MODULES}
    for name, spent in result["import_s"].items():
        click.echo(f"import        {name:20} {spent:6.2f} s")
    result["steps"] = {}
    for name in names:
        result["steps"][name] = compare_steps(preset(name), rounds, seconds)
        click.echo(f"\n{name}\n{table(result['steps'][name])}")
    if path:
        path.write_text(json.dumps(result, indent=2) + "\n")


def machine(device: jax.Device) -> str:
    """The device, the processor's own name where the system tells it, and its cores."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    processors = {line.split(":")[1].strip() for line in lines if line.startswith("model name")}
    return ", ".join([device_name(device), *sorted(processors), f"{os.cpu_count()} cores"])


def table(row: dict) -> str:
    """One comparison in lines."""
    size = f"{row['p']:6} {row['d_model']:8} {row['train_inputs']:7} {row['classes']:8}"
    return "\n".join(
        [
            HEADER,
            f"float32  {size} {_against_plain(row, 'ours_epochs_per_s', 'ratio')}",
            f"bfloat16 {size} {_against_plain(row, 'bfloat16_epochs_per_s', 'bfloat16_ratio')}",
            f"differ by     loss {row['loss_difference']:.1e}, "
            f"gradient {row['gradient_difference']:.1e} (relative)",
            f"compile       step {row['compile_step_s']:.1f} s, "
            f"in bfloat16 {row['compile_bfloat16_step_s']:.1f} s, "
            f"plain step {row['compile_plain_step_s']:.1f} s, "
            f"evaluation {row['compile_evaluation_s']:.1f} s",
            f"evaluate      {1000 * row['evaluation_s']:.0f} ms a tick, all splits and probes",
        ]
    )


def _against_plain(row: dict, speed: str, ratio: str) -> str:
    """Our speed, the plain one's, and how they compare."""
    low, high = row[f"{ratio}_range"]
    return (
        f"{row[speed]:8.2f} {row['plain_epochs_per_s']:8.2f}"
        f" {row[ratio]:7.2f} ({low:.2f} - {high:.2f})"
    )


if __name__ == "__main__":
    main()
