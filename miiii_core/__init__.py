"""Train and open up one-layer transformers on multi-task modular arithmetic.

In the order of the story: ``config``, ``presets`` and ``tasks`` say what an experiment is;
``model``, ``losses``, ``optim``, ``probes`` and ``train`` how it is trained, and ``batch`` trains
many at once; ``files``, ``stored`` and ``runs`` keep what was trained, and ``cli`` is the command
line. ``fourier`` and ``waves`` are the instruments, which ``probes`` use too; ``shares``
and ``interventions`` take a trained network apart, and ``addition`` one of modular addition.
"""

__version__ = "0.1.0"
