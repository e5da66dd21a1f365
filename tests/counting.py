"""How often JAX compiles something."""

from contextlib import contextmanager

import jax.monitoring


@contextmanager
def compilations():
    """A list that gains an entry for each compilation inside the block."""
    seen = []

    def listen(event, duration, **details):
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(details)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
