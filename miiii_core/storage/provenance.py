"""Where a result comes from: code, versions, machine."""

import ast
import hashlib
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

PACKAGE = Path(__file__).parent.parent
# What decides the numbers of a run; presets only name configurations, which have their own digest.
TRAINING_MODULES = (
    "config", "tasks", "network/products", "network/model", "network/losses",
    "analysis/spectral", "analysis/atoms", "training/swept", "training/optim",
    "training/probes", "training/schedule", "training/train",
)  # fmt: skip


@cache
def training_code_digest() -> str:
    """The `code_digest` of all that decides the numbers of a run."""
    return code_digest(TRAINING_MODULES)


def code_digest(modules: Sequence[str]) -> str:
    """Twelve hexadecimal digits that change when the code of some modules does.

    Comments, docstrings and layout do not count: a run stays good when only
    words were mended.

    Args:
        modules: Paths below the package, without their ending.
    """
    trees = (ast.parse((PACKAGE / f"{name}.py").read_text()) for name in modules)
    dumps = "\n".join(ast.dump(_without_docstrings(tree)) for tree in trees)
    return hashlib.sha256(dumps.encode()).hexdigest()[:12]


def versions() -> dict[str, str]:
    """Python and the libraries that decide a run's numbers."""
    libraries = ("jax", "jaxlib", "equinox", "optax", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in libraries}


@cache
def code_revision() -> str:
    """The git commit of this package, with ``+`` if files differ from it, or ``unknown``.

    Known is that of a clone only, which has the package at its top: a package that is
    installed somewhere inside another repository does not come from there.
    """
    try:
        if Path(_git("rev-parse", "--show-toplevel")) != PACKAGE.parent.resolve():
            return "unknown"
        changed = _git("status", "--porcelain", "--", ".")
        return _git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def device_name(device: jax.Device) -> str:
    """A device in words: its platform, kind, and for a CPU its architecture."""
    kind = platform.machine() if device.platform == "cpu" else device.device_kind
    return f"{device.platform} {kind}"


def session(device: jax.Device, epoch: int) -> dict[str, Any]:
    """Where, with what and from which epoch on a run is trained, until it is stopped."""
    return {
        "from_epoch": epoch,
        "started": now_utc(),
        "device": device_name(device),
        "code_digest": training_code_digest(),
        "code_revision": code_revision(),
        "versions": versions(),
    }


def now_utc() -> str:
    """The time, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _git(*words: str) -> str:
    """What git answers in the package's folder."""
    command = ["git", "-C", str(PACKAGE), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:]
    return tree
