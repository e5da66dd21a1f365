"""What every test stands on: shapes are checked, ranks are never promoted in silence."""

import jax
import matplotlib
from jaxtyping import install_import_hook

# Before any test module imports ours: the hook rewrites modules as they load.
install_import_hook("miiii_core", "beartype.beartype")
jax.config.update("jax_numpy_rank_promotion", "raise")
matplotlib.use("Agg")
