"""Train and open up one-layer transformers on multi-task modular arithmetic.

In the order of the story: ``config``, ``presets`` and ``tasks`` say what an experiment is;
``model``, ``losses``, ``optim``, ``probes`` and ``train`` how it is trained; ``batch`` trains
many at once; ``runs`` and ``files`` keep what was trained. ``fourier`` and ``waves`` are the
instruments; ``shares``, ``chance``, ``interventions`` and ``addition`` take a network apart.
"""

__version__ = "0.1.0"
