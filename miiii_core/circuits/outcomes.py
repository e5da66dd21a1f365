"""Results of `branching` and of trainings with other settings, as files with their origin.

A file holds one seed. It is written whole or not at all, and names the configuration, the code,
the versions and the machine it came from.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..config import Config, differences
from ..storage.files import FileDamaged, load_arrays, save_arrays
from ..storage.provenance import code_digest, session, training_code_digest
from ..storage.results import results_folder, same_recipe
from ..storage.saved import RunError
from ..tasks import primes_below
from .branching import Branch, Experiment, places_of
from .gradients import GradientWaves
from .laboratory import Reference, split_of

FORMATS = {"branches": 2, "controls": 1}  # by kind of result
LISTED = ("kind", "place", "start", "waves", "end")  # of a branch, in the header
MEASURED = ("energy", "total", "chance")  # of the waves of a reference
MODULES = (
    "training/clamp", "analysis/transients", "circuits/gradients", "circuits/laboratory",
    "circuits/branching",
)  # fmt: skip
RECORDING: dict[str, Any] = {"probes": (), "n_snapshots": 0}  # nothing else is kept of a training
IGNORED = (
    "p", "seed", "epochs", "probes", "n_snapshots", "eval_every", "evals_per_octave",
    "wide_per_octave",
)  # fmt: skip


class Controls(NamedTuple):
    """When the tasks of one seed were learned under other settings.

    Attributes:
        moduli: Of the tasks.
        learned: Epochs by setting and task; infinite for not by the end.
        last: Epoch at which each training was called off.
    """

    moduli: tuple[int, ...]
    learned: Mapping[str, Float[np.ndarray, " tasks"]]
    last: Mapping[str, int]


def results_root() -> Path | None:
    """The folder of these among the stored results; None outside the book."""
    root = results_folder()
    return root / "learning-circuits" if root else None


def place_of(root: Path, kind: str, config: Config) -> Path:
    """The file of one seed."""
    return root / f"{kind}-{config.task.name}-p{config.task.p}-seed{config.train.seed}.npz"


def origin(kind: str, config: Config, device: Any, began: float) -> dict[str, Any]:
    """Where a result of a kind comes from, and the seconds since it was begun."""
    return {
        "kind": kind,
        "format": FORMATS[kind],
        "config": json.loads(config.to_json()),
        "digest": config.digest,
        "results_code_digest": code_digest(MODULES),
        "seconds": round(time.perf_counter() - began, 1),
        **session(device, 0),
    }


def check_origin(path: Path, config: Config) -> dict[str, Any]:
    """The origin of a stored result, which must be one of this very configuration.

    A file is named after task, p and seed only, so another setting has the same name.

    Raises:
        RunError: if it is of another configuration, missing, damaged or of another format.
    """
    header = header_of(path)
    if header["digest"] != config.digest:
        other = Config.from_json(json.dumps(header["config"]))
        differing = "; ".join(
            f"{field} is {there!r} there and {here!r} here"
            for field, there, here in differences(other, config)
        )
        raise RunError(
            f"{path} holds results of other settings: {differing}. "
            "Ask for the same, or name another folder with --out"
        )
    return header


def same_code(header: Mapping[str, Any]) -> bool:
    """Whether a stored result was computed by the code as it is now."""
    now = {"results_code_digest": code_digest(MODULES), "code_digest": training_code_digest()}
    return all(header.get(name) == digest for name, digest in now.items())


def save_experiment(path: Path, found: Experiment, header: Mapping[str, Any]) -> None:
    """Write an experiment; the states of its reference are left out."""
    reference, branches = found.reference, found.branches
    arrays = {
        name: np.asarray(getattr(reference, name))
        for name in ("learned", "moments", "accuracy", *MEASURED)
    }
    for several in ("alone", "removed"):
        arrays |= {f"{several}/{name}": v for name, v in getattr(found, several).items()}
    for i, branch in enumerate(branches):
        arrays |= {f"branch{i}/once": branch.once, f"branch{i}/learned": branch.learned}
    for place, gradient in found.watched.items():
        arrays |= {f"watched/{place}/{n}": v for n, v in gradient._asdict().items()}
    listed = [{name: getattr(branch, name) for name in LISTED} for branch in branches]
    path.parent.mkdir(parents=True, exist_ok=True)
    save_arrays(path, arrays, {**header, "branches": listed}, compress=True)


def load_experiment(path: Path) -> tuple[Experiment, dict[str, Any]]:
    """Read what `save_experiment` wrote, and its origin.

    Raises:
        RunError: if the file is missing, damaged or of another format.
    """
    arrays, header = _read(path)
    try:
        moduli, p = primes_below(header["config"]["task"]["p"]), header["config"]["task"]["p"]
        known = (arrays[name] for name in ("accuracy", *MEASURED))
        reference = Reference(arrays["learned"], arrays["moments"], [], *known)
        split = split_of(reference, moduli, p)
        onset, spike = places_of(split, reference.accuracy)
        branches = [
            Branch(
                b["kind"], b["place"], b["start"], [(int(k), int(q)) for k, q in b["waves"]],
                arrays[f"branch{i}/once"], arrays[f"branch{i}/learned"], b["end"],
            )
            for i, b in enumerate(header["branches"])
        ]  # fmt: skip
        watched = {
            place: GradientWaves(
                *(arrays[f"watched/{place}/{name}"] for name in GradientWaves._fields)
            )
            for place in ("onset", "spike", "midway")
            if f"watched/{place}/raw" in arrays
        }
        alone, removed = (_below(arrays, several) for several in ("alone/", "removed/"))
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} is damaged: {error!r}; restore it, or compute it again") from error
    return Experiment(reference, split, spike, onset, alone, removed, branches, watched), header


def save_controls(path: Path, found: Controls, header: Mapping[str, Any]) -> None:
    """Write when tasks were learned under other settings."""
    arrays = {f"learned{i}": values for i, values in enumerate(found.learned.values())}
    named = {
        "moduli": list(found.moduli),
        "settings": list(found.learned),
        "last": dict(found.last),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_arrays(path, arrays, {**header, **named}, compress=True)


def load_controls(path: Path) -> tuple[Controls, dict[str, Any]]:
    """Read what `save_controls` wrote, and its origin.

    Raises:
        RunError: if the file is missing, damaged or of another format.
    """
    arrays, header = _read(path)
    try:
        learned = {name: arrays[f"learned{i}"] for i, name in enumerate(header["settings"])}
        return Controls(tuple(header["moduli"]), learned, header["last"]), header
    except (KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: {error!r}; restore it, or compute it again") from error


def stored(kind: str, config: Config) -> list[Path]:
    """Files of results for a configuration, by p and seed.

    They may be of other seeds and bases, trained for longer, and with other records: what a
    delay is in octaves can be compared.
    """
    root = results_root()
    if root is None or not root.is_dir():
        return []
    found = {}
    for path in root.glob(f"{kind}-{config.task.name}-*.npz"):
        _, header = _read(path)
        other = Config.from_json(json.dumps(header["config"]))
        if same_recipe(other, config, IGNORED):
            found[other.task.p, other.train.seed] = path
    return [found[place] for place in sorted(found)]


def header_of(path: Path) -> dict[str, Any]:
    """The origin of a stored result.

    Raises:
        RunError: if the file is missing, damaged or of another format.
    """
    return _read(path)[1]


def experiments(config: Config) -> list[Experiment]:
    """All stored experiments of a configuration, by p and seed."""
    return [load_experiment(path)[0] for path in stored("branches", config)]


def control_trainings(config: Config) -> list[Controls]:
    """All stored trainings with other settings of a configuration, by p and seed."""
    return [load_controls(path)[0] for path in stored("controls", config)]


def _below(arrays: Mapping[str, np.ndarray], folder: str) -> dict[str, np.ndarray]:
    found = {name: values for name, values in arrays.items() if name.startswith(folder)}
    return {name.removeprefix(folder): values for name, values in found.items()}


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    try:
        arrays, header = load_arrays(path)
    except FileDamaged as error:
        raise RunError(f"{error}; restore the file, or compute it again") from error
    known = FORMATS.get(header.get("kind", ""))
    if header.get("format") != known:
        raise RunError(
            f"{path} is of format {header.get('format')} and this version reads {known}; "
            "compute it again, or use the version of miiii_core that wrote it"
        )
    return arrays, header
