"""Settings that come as arrays, so that runs which differ in them share one program."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..config import Config, OptimConfig
from ..network.model import weight_type


class Swept(eqx.Module):
    """Settings that replace a configuration's; None leaves its constant in place.

    A constant is compiled in and an array is not: a run by itself has only constants.

    Attributes:
        learning_rate: AdamW step size.
        weight_decay: Decoupled weight decay.
        grokfast_lambda: How much of the slow gradient is added.
        grokfast_alpha: Decay of the exponential mean.
        keep: Share of the stream that dropout keeps, ``1 - dropout``.
    """

    learning_rate: Float[Array, ""] | None = None
    weight_decay: Float[Array, ""] | None = None
    grokfast_lambda: Float[Array, ""] | None = None
    grokfast_alpha: Float[Array, ""] | None = None
    keep: Float[Array, ""] | None = None

    @classmethod
    def of(cls, config: Config, names: tuple[str, ...]) -> "Swept":
        """A configuration's values of some fields, as arrays; the seed needs none.

        Args:
            config: Where they are read.
            names: Of `config.SWEEPABLE`.
        """
        # The share kept is taken in double precision, as the constant is.
        values = {"keep": 1 - config.model.dropout} if "dropout" in names else {}
        optim = [name for name in names if hasattr(config.optim, name)]
        values |= {name: getattr(config.optim, name) for name in optim}
        dtype = weight_type(config.model)
        return cls(**{name: jnp.asarray(value, dtype) for name, value in values.items()})

    def value(self, config: OptimConfig, name: str) -> float | Float[Array, ""]:
        """A setting of the optimiser: the array if there is one, else the constant."""
        array = getattr(self, name)
        return getattr(config, name) if array is None else array


ALONE = Swept()
