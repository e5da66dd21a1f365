"""Experiments by name: the paper's at p = 113, and small ones that two cores train in minutes.

A control differs from its parent in the field that its name says. It may stop earlier: at
full size where it is not expected to generalise, at small size where its parent has by then.
"""

import shlex
from typing import Any

from .config import Config, differences

# Nanda et al. (2023): no dropout, no filter, larger learning rate and decay, smaller model and
# first weights. From the first weights of Syrkis & Sogaard it had not grokked by epoch 20000.
_NANDA: dict[str, Any] = {
    "name": "nanda", "train_fraction": 0.3, "d_model": 128, "dropout": 0.0, "learning_rate": 1e-3,
    "weight_decay": 1.0, "grokfast": "none", "init": "nanda", "epochs": 20000,
}  # fmt: skip
_CONTROLS: dict[str, dict[str, Any]] = {
    **{name: {"name": name} for name in ("miiii", "basis", "masked", "divisible")},
    "no-dropout": {"dropout": 0.0},
    "no-grokfast": {"grokfast": "none"},
}
# At full size only: fewer epochs where nothing more is expected, settings in which the paper's
# text and code differ, and steps between T_nanda and T_miiii.
_FULL: dict[str, dict[str, Any]] = {
    "basis": {"epochs": 16384},
    "no-dropout": {"epochs": 32768},
    "miiii-30": {"train_fraction": 0.3},
    "sample-dropout": {"dropout_mask": "sample"},
    # What won the race of recipes, in a sixteenth of the epochs.
    "miiii-fast": {
        "update": "muon", "grokfast": "none", "learning_rate": 1e-2, "weight_decay": 0.3,
        "warmup": 100, "cooldown": 0.5, "dropout_mask": "sample", "precision": "bfloat16",
        "epochs": 4096,
    },
    "nanda-he": _NANDA | {"init": "he"},
    "nanda-as-miiii": {"name": "nanda", "train_fraction": 0.3},
}  # fmt: skip
# Found by a search of hyperparameters: with one dropout mask for all samples, this small grid
# groks far later.
_SMALL: dict[str, Any] = {
    "p": 31, "train_fraction": 0.85, "d_model": 128, "dropout_mask": "sample", "eval_every": 128,
    "learning_rate": 2e-3, "weight_decay": 1.0, "grokfast_lambda": 2.0, "epochs": 10240,
}  # fmt: skip
# By this epoch the parent has generalised on every task; a control that has not is late.
_SMALL_CONTROL: dict[str, Any] = _SMALL | {"epochs": 6144}
_SMALL_NANDA: dict[str, Any] = {
    "p": 53, "train_fraction": 0.6, "d_model": 64, "learning_rate": 3e-3, "epochs": 3072,
    "eval_every": 128,
}  # fmt: skip
PRESETS: dict[str, Config] = (
    {n: Config().replace(**_CONTROLS.get(n, {}) | _FULL.get(n, {})) for n in _CONTROLS | _FULL}
    | {"nanda": Config().replace(**_NANDA)}
    | {f"{n}-small": Config().replace(**_SMALL_CONTROL | c) for n, c in _CONTROLS.items()}
    | {"miiii-small": Config().replace(**_SMALL)}
    | {"nanda-small": Config().replace(**_NANDA | _SMALL_NANDA)}
)


def preset(name: str) -> Config:
    """Return the experiment of a key of `PRESETS`; ValueError, naming all, for another."""
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; choose one of {', '.join(sorted(PRESETS))}")
    return PRESETS[name]


def nearest_preset(config: Config) -> tuple[str, list[tuple[str, Any, Any]]]:
    """Find the preset of the same task from which a configuration differs in the fewest fields.

    Returns its name, and each difference as (field, own value, preset's value).
    """
    related = {n: usual for n, usual in PRESETS.items() if usual.task.name == config.task.name}
    found = {name: differences(config, usual) for name, usual in related.items()}
    return min(found.items(), key=lambda item: len(item[1]))


def train_command(config: Config) -> str:
    """Return the command line that trains a configuration."""
    name, differs = nearest_preset(config)
    typed = ["miiii", "train", "--preset", name]
    for field, value, _ in differs:
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        typed += [f"--{field.replace('_', '-')}", text]
    return shlex.join(typed)
