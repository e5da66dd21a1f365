"""Measurements as lines of text."""

from collections.abc import Iterable
from typing import Any

from .sizes import REFERENCE, relative
from .timing import Clock, Spread

UNKNOWN = "-"
RELATIVE = ("time", "CPU", "Σq·p²·d", "products")


def steps_report(row: dict[str, Any]) -> str:
    """One size: speeds and ratios, the share of the ceiling, compilations, evaluations."""
    parts = [
        f"p {row['p']}, d_model {row['d_model']}, {row['train_inputs']} training inputs, "
        f"{row['classes']} classes",
        *_speeds(row),
        *_products(row["products"]),
        *_differences(row["differences"]),
        _compilations(row),
        *_evaluations(row),
    ]
    return "\n".join(parts)


def sizes_report(rows: list[dict[str, Any]]) -> str:
    """The table over p: times and memory, then four quantities relative to p = 113."""
    reference = REFERENCE if any(row["p"] == REFERENCE for row in rows) else rows[-1]["p"]
    ratios = [relative(rows, key) for key in ("epoch_s", "epoch_cpu_s", "model", "flops")]
    return "\n".join(
        [
            f"time, CPU, cost model and products relative to p = {reference}",
            _line(("p", "classes", "ms/epoch", "CPU ms", "peak GB", *RELATIVE)),
            *(_size_line(row, cells) for row, *cells in zip(rows, *ratios, strict=True)),
        ]
    )


def _size_line(row: dict[str, Any], ratios: list[float | None]) -> str:
    scales = {"epoch_s": 1e3, "epoch_cpu_s": 1e3, "peak_bytes": 1e-9}
    known = (f"{row[key] * scale:.2f}" if key in row else UNKNOWN for key, scale in scales.items())
    shown = (UNKNOWN if x is None else f"{x:.3f}" for x in ratios)
    return f"{_line((row['p'], row['classes'], *known, *shown))}  {row.get('problem', '')}".rstrip()


def _line(cells: Iterable[Any]) -> str:
    return " ".join(f"{cell!s:>9}" for cell in cells)


def _speeds(row: dict[str, Any]) -> Iterable[str]:
    head = "".join(f"   {f'ours {p} is faster, times':32}" for p in row["ratios"])
    yield f"{'':16} epochs/s  ms/epoch  CPU ms{head}".rstrip()
    for name, speed in row["epochs_per_s"].items():
        ratios = [_spread(of[name]) if name in of else "" for of in row["ratios"].values()]
        cells = "".join(f"   {ratio:32}" for ratio in ratios)
        cpu = 1000 * row["cpu_s_per_epoch"][name]
        yield f"{name:16} {speed:8.2f} {1000 / speed:9.1f} {cpu:7.1f}{cells}".rstrip()


def _products(products: dict[str, Any]) -> Iterable[str]:
    side = products["ceiling_side"]
    yield f"products      {products['flops'] / 1e9:.3g} GFLOP a step; of a {side} square product's"
    for precision, share in products["share"].items():
        ceiling = products["ceiling_flops_per_s"][precision] / 1e9
        yield f"  {precision:11} {ceiling:.0f} GFLOP/s, our step reaches {_spread(share)}"


def _differences(differences: dict[str, dict[str, float]]) -> Iterable[str]:
    for name, values in differences.items():
        yield (
            f"differ by     {name}: loss {values['loss']:.1e}, gradient "
            f"{values['gradient']:.1e} (relative, in float64)"
        )


def _compilations(row: dict[str, Any]) -> str:
    evaluations = {f"{kind} evaluation": c["compile_s"] for kind, c in row["evaluations"].items()}
    shown = (f"{name} {s:.1f} s" for name, s in (row["compile_s"] | evaluations).items())
    return f"compile       {', '.join(shown)}"


def _evaluations(row: dict[str, Any]) -> Iterable[str]:
    for kind, cost in row["evaluations"].items():
        yield (
            f"evaluate      {kind}: {1000 * cost['seconds']:.0f} ms, all splits and probes, "
            f"{cost['times']} times in {row['epochs']} epochs"
        )
    added = row["evaluation_s_per_epoch"]
    speeds = {k: v for k, v in row["epochs_per_s"].items() if k.startswith("ours")}
    shown = (f"{name} {1000 * (1 / speed + added):.1f}" for name, speed in speeds.items())
    yield f"in all        {', '.join(shown)} ms per epoch with evaluations and probes"


def _spread(clocks: dict[Clock, Spread]) -> str:
    """Median and range by the clock, and the median by processor time."""
    median, least, most = clocks["wall"]
    shown = f"{median:.2f} ({least:.2f} - {most:.2f})"
    return f"{shown}, CPU {clocks['cpu'].median:.2f}" if "cpu" in clocks else shown
