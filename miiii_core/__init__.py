"""Train and open up one-layer transformers on multi-task modular arithmetic.

The packages follow the story: ``config``, ``presets`` and ``tasks`` say what an experiment is,
``network`` what is trained and ``training`` how; ``analysis`` has the instruments, ``storage``
and ``runs`` keep what was trained; ``circuits`` and ``addition`` take it apart; ``figures``
and ``controls`` show it, ``claims`` judges it, ``publishing`` makes the book of it.
"""

__version__ = "0.1.0"
