"""Circuits for learning: what clamping transient waves does, and what explains Grokfast.

    python -m benchmarks.learning_circuits                    # seeds that are not there yet
    python -m benchmarks.learning_circuits --preset miiii     # the paper's size, on a GPU

For each seed a reference is trained and branches with waves clamped; for the first few seeds,
trainings with other settings beside. Each seed, and each setting, is kept when it is done, in
``book/results``: stopped with Ctrl-C and called again, the command goes on.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from miiii_core.circuits import branching, laboratory, outcomes
from miiii_core.config import Config
from miiii_core.presets import preset
from miiii_core.storage.saved import RunError
from miiii_core.training.train import TrainingDiverged, initial_state


def settings_of(base: Config) -> dict[str, dict[str, Any]]:
    """What is changed in each control: without the filter, with what might do in its place."""
    lam, rate = base.optim.grokfast_lambda, base.optim.learning_rate
    decay = base.optim.weight_decay
    without = {"grokfast": "none"}
    return {
        "filter": {},
        "no filter": without,
        "no filter, rate × (1 + λ)": without | {"learning_rate": rate * (1 + lam)},
        "no filter, β1 = α": without | {"beta1": base.optim.grokfast_alpha},
        "no filter, decay × 2": without | {"weight_decay": 2 * decay},
        "no filter, decay / 2": without | {"weight_decay": decay / 2},
        "filter, decay × 2": {"weight_decay": 2 * decay},
        "filter, decay / 2": {"weight_decay": decay / 2},
    }


def main(arguments: list[str] | None = None) -> None:
    """Compute what is not stored yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="miiii-small", help="what to train")
    parser.add_argument("--p", type=int, help="base of the digits  [the preset's]")
    parser.add_argument("--epochs", type=int, help="at most so many  [the preset's]")
    parser.add_argument("--seeds", type=int, default=8, help="seeds with branches, from 1 on")
    parser.add_argument("--controls", type=int, default=3, help="of these, seeds with controls")
    parser.add_argument("--out", type=Path, help="folder of the results  [the book's]")
    chosen = parser.parse_args(arguments)
    root = chosen.out or outcomes.results_root()
    if root is None:
        parser.error("there is no book here to keep results in; name a folder with --out")
    changes = {"p": chosen.p, "epochs": chosen.epochs, **outcomes.RECORDING}
    base = preset(chosen.preset).replace(**{k: v for k, v in changes.items() if v is not None})
    try:
        for seed in range(1, chosen.seeds + 1):
            branches(root, base.replace(seed=seed))
            if seed <= chosen.controls:
                controls(root, base.replace(seed=seed))
    except RunError as error:
        parser.error(str(error))


def branches(root: Path, config: Config) -> None:
    """Compute the branches of a seed, unless they are there.

    Raises:
        RunError: if those of other settings are there.
    """
    path = outcomes.place_of(root, "branches", config)
    if path.exists():
        if not outcomes.same_code(outcomes.check_origin(path, config)):
            print(f"{path.stem} is there, computed by other code than this", flush=True)
        return
    began = time.perf_counter()

    def tell(text: str) -> None:
        print(f"{path.stem} {time.perf_counter() - began:5.0f} s  {text}", flush=True)

    found = branching.run_experiment(laboratory.Laboratory.of(config), tell)
    outcomes.save_experiment(
        path, found, outcomes.origin("branches", config, jax.devices()[0], began)
    )
    tell("stored")


def controls(root: Path, config: Config) -> None:
    """Train a seed with other settings, those that are not there.

    Raises:
        RunError: if what is there is of another configuration, or, as settings are compared,
            is to be joined by what other code computes.
    """
    path = outcomes.place_of(root, "controls", config)
    known, last, spent = {}, {}, 0.0
    if path.exists():
        header = outcomes.check_origin(path, config)
        stored, _ = outcomes.load_controls(path)
        known, last, spent = dict(stored.learned), dict(stored.last), header["seconds"]
        if set(settings_of(config)) - set(known) and not outcomes.same_code(header):
            raise RunError(
                f"{path} was computed by other code than this, and settings of one file are to "
                "be compared; move it away, or name another folder with --out"
            )
    for name, changes in settings_of(config).items():
        if name not in known:
            began = time.perf_counter()
            known[name], last[name] = train(config.replace(**changes))
            found = outcomes.Controls(laboratory.Laboratory.of(config).task.moduli, known, last)
            origin = outcomes.origin("controls", config, jax.devices()[0], began)
            spent += origin["seconds"]
            outcomes.save_controls(path, found, {**origin, "seconds": round(spent, 1)})
            print(f"{path.stem}  {name}: epoch {last[name]}", flush=True)


def train(config: Config) -> tuple[np.ndarray, int]:
    """Epochs at which tasks are learned, and the epoch at which most of them were."""
    lab = laboratory.Laboratory.of(config)
    try:
        state = initial_state(config, lab.task)
        grown = branching.grow_branch(
            lab, state, [], config.train.epochs, kind="control", place="start"
        )
    except TrainingDiverged:
        return np.full(len(lab.task.moduli), np.inf), config.train.epochs
    return grown.learned, grown.end


if __name__ == "__main__":
    main()
