"""Train and open up one-layer transformers on multi-task modular arithmetic.

The modules follow the story: ``config`` and ``presets`` say what an experiment
is, ``tasks`` makes its data, ``model``, ``losses`` and ``optim`` are what is
trained and how, ``train`` does it, ``runs`` keeps it, ``spectral`` and
``circuits`` look inside, ``figures`` draws, ``book`` executes the chapters.
"""

__version__ = "0.1.0"
