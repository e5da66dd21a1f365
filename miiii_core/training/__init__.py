"""How it is trained: the filter, one step, many steps, many runs at once, where."""
