"""Where the command line starts: ``miiii``, and ``python -m miiii_core``."""

import os
import signal
import sys


def main() -> None:
    """Load the command line, during which Ctrl-C ends in silence, and run it.

    Update rules of the user's own may lie in the working folder; nothing there hides a package.
    """
    sys.path.append(os.getcwd())
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from .cli import main as run

    signal.signal(signal.SIGINT, before)
    run()


if __name__ == "__main__":
    main()
