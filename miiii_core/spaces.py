"""What the paper chose from, what a search may choose from, and what makes no sense."""

from collections.abc import Mapping
from itertools import combinations, product
from typing import Any

from .config import Config, fields

Space = Mapping[str, tuple[Any, ...]]  # values by field
# The paper's Table 1.
TABLE_1: Space = {
    "dropout": (0.0, 0.5, 0.2, 0.1),
    "grokfast_lambda": (0.0, 0.5, 2.0),
    "weight_decay": (0.0, 0.1, 0.5, 1.0),
    "d_model": (128, 256),
    "learning_rate": (3e-4, 1e-4),
    "n_heads": (4, 8),
}
# The same questions where two cores answer in seconds: smaller models take larger steps.
SMALL: Space = {**TABLE_1, "d_model": (32, 64), "learning_rate": (3e-3, 1e-3)}
# What a trial records changes nothing of its loss, so all trials record as little as will do.
RECORDING: dict[str, Any] = {
    "probes": (),
    "n_snapshots": 0,
    "evals_per_octave": 2,
    "wide_per_octave": 1,
}


def neighbours(config: Config, space: Space) -> dict[tuple[str, Any], Config]:
    """Configurations one step of a grid away: another value in one field, by field and value."""
    return {
        (field, value): config.replace(**{field: value})
        for field, values in space.items()
        for value in values
        if value != config.values[field]
    }


def check_space(base: Config, space: Space) -> None:
    """Refuse what no search could train to its end, before anything is trained.

    Raises:
        ValueError: for a field that does not exist or that a search sets itself, an empty
            choice, a value that is no number or name, or values that the configuration does
            not take, alone or together.
    """
    if unknown := sorted(set(space) - set(fields())):
        raise ValueError(f"no field is called {', '.join(unknown)}; fields are {sorted(fields())}")
    if fixed := sorted(set(space) & set(RECORDING)):
        raise ValueError(
            f"{', '.join(fixed)} cannot be a choice: what a trial records changes nothing of its "
            f"loss, so a search sets {', '.join(RECORDING)} itself; leave it out"
        )
    for field, values in space.items():
        if not values:
            raise ValueError(f"{field} has no values to choose from; give at least one")
        for value in values:
            if not isinstance(value, int | float | str):
                raise ValueError(f"{field}={value!r} will not do; a choice is a number or a name")
    _check_combinations(base, space)


def _check_combinations(base: Config, space: Space) -> None:
    """Refuse values that do not go together.

    What a configuration asks of its values, it asks of one or of two. So all pairs are tried,
    with the first choice of every other field, and not all combinations, which can be very many.
    """
    first = {field: values[0] for field, values in space.items()}
    for some in combinations(space, min(2, len(space))):
        for values in product(*(space[field] for field in some)):
            chosen = first | dict(zip(some, values, strict=True))
            try:
                base.replace(**chosen)
            except ValueError as error:
                named = ", ".join(f"{field}={value}" for field, value in chosen.items())
                raise ValueError(
                    f"{error}; the choices allow {named}, so leave out one of these values"
                ) from error
