"""Experiments by name: the paper's at p = 113, and small ones for a laptop.

A control differs from its parent in the one field that its name says, and may stop
earlier: those that are not to generalise once that is plain, and small ones once
their parent has. The small ones keep
the questions and shrink the grid, until two cores answer in minutes;
``benchmarks/search_small.md`` tells how their settings were found.
"""

import shlex
from typing import Any

from .config import Config, differences

# Nanda et al. (2023): no dropout, no filter, a larger step and decay, a smaller model whose
# first weights are smaller too. From the paper's first weights it had not grokked by then.
_NANDA: dict[str, Any] = {
    "name": "nanda",
    "train_fraction": 0.3,
    "d_model": 128,
    "dropout": 0.0,
    "learning_rate": 1e-3,
    "weight_decay": 1.0,
    "grokfast": "none",
    "init": "nanda",
    "epochs": 20000,
}
_CONTROLS: dict[str, dict[str, Any]] = {
    "miiii": {},
    "basis": {"name": "basis"},
    "masked": {"name": "masked"},
    "no-dropout": {"dropout": 0.0},
    "no-grokfast": {"grokfast": "none"},
    "divisible": {"name": "divisible"},
}
# At the paper's size only: shorter where nothing more is to come, and settings that text and
# code, or T_nanda and T_miiii, do not share.
_FULL: dict[str, dict[str, Any]] = {
    "basis": {"epochs": 16384},
    "no-dropout": {"epochs": 32768},
    "miiii-30": {"train_fraction": 0.3},
    "sample-dropout": {"dropout_mask": "sample"},
    "nanda-he": _NANDA | {"init": "he"},
    "nanda-as-miiii": {"name": "nanda", "train_fraction": 0.3},
}
# Found by a search: with one mask a step for all samples the small grid groks far later.
_SMALL: dict[str, Any] = {
    "p": 31,
    "train_fraction": 0.85,
    "d_model": 128,
    "dropout_mask": "sample",
    "learning_rate": 2e-3,
    "weight_decay": 1.0,
    "grokfast_lambda": 2.0,
    "epochs": 10240,
    "eval_every": 128,
}
# By then the parent has generalised on every task; a control that has not is late.
_SMALL_CONTROL: dict[str, Any] = {"epochs": 6144}
_SMALL_NANDA: dict[str, Any] = {
    "p": 53,
    "train_fraction": 0.6,
    "d_model": 64,
    "learning_rate": 3e-3,
    "epochs": 3072,
    "eval_every": 128,
}
PRESETS: dict[str, Config] = (
    {n: Config().replace(**_CONTROLS.get(n, {}) | _FULL.get(n, {})) for n in _CONTROLS | _FULL}
    | {"nanda": Config().replace(**_NANDA)}
    | {f"{n}-small": Config().replace(**_SMALL | c | _SMALL_CONTROL) for n, c in _CONTROLS.items()}
    | {"miiii-small": Config().replace(**_SMALL)}
    | {"nanda-small": Config().replace(**_NANDA | _SMALL_NANDA)}
)


def preset(name: str) -> Config:
    """The configuration of a named experiment.

    Raises:
        ValueError: for a name that is not known; lists those that are.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; presets are {', '.join(sorted(PRESETS))}")
    return PRESETS[name]


def nearest_preset(config: Config) -> tuple[str, list[tuple[str, Any, Any]]]:
    """The preset that a configuration is closest to, and each (field, value, preset's value)."""
    found = {
        name: differences(config, usual)
        for name, usual in PRESETS.items()
        if usual.task.name == config.task.name
    }
    name = min(found, key=lambda name: len(found[name]))
    return name, found[name]


def train_command(config: Config) -> str:
    """What to type to train a configuration."""
    name, differs = nearest_preset(config)
    typed = ["miiii", "train", "--preset", name]
    for field, value, _ in differs:
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        typed += [f"--{field.replace('_', '-')}", text]
    return shlex.join(typed)
