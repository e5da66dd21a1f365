"""Train and open up one-layer transformers on multi-task modular arithmetic.

In the order of the story: ``config``, ``presets`` and ``tasks`` say what an experiment is;
``model``, ``losses``, ``optim``, ``probes`` and ``train`` how it is trained, and ``batch`` trains
many at once; ``files``, ``stored`` and ``runs`` keep what was trained, and ``cli`` is the command
line. ``fourier`` and ``waves`` are the instruments, which ``probes`` use too; ``shares``
and ``interventions`` take a trained network apart, and ``addition`` one of modular addition.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"


class OnFirstUse:
    """Stands for a module, which is imported when something of it is asked for."""

    def __init__(self, name: str) -> None:
        """Take the name of a module, of this package if it begins with a dot."""
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        """Return what the module has under a name."""
        return getattr(import_module(self._name, __name__), attribute)
