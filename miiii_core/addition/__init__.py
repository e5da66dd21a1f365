"""The circuit of modular addition, as Nanda et al. (2023) measured it."""
