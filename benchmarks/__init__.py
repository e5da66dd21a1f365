"""How fast training is, against a plain version of the same mathematics."""
