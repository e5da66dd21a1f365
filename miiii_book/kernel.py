"""The kernel that chapters run in: what readers set up for themselves does not reach the pages."""

import os
import re
import sys
from pathlib import Path

import matplotlib

COMMAND = [sys.executable, "-P", "-m", "miiii_book.kernel", "-f", "{connection_file}"]
# Where modules, devices and caches are stays theirs to say.
PERSONAL = re.compile(
    "PYTHON(?!HOME|PATH|USERBASE|NOUSERSITE|PYCACHE|DONTWRITE)|JAX_(?!PLATFORM|.*CACHE|.*VISIBLE)|"
    "IPY|TF_CPP|TQDM|LC_|LANG|TZ$|COLUMNS$|LINES$|(NO|FORCE)_COLOR|CLICOLOR"
)
FOLDERS = ("MIIII_RUNS", "MIIII_SHIPPED")  # meant from here, not from the chapter
OURS = {
    "MATPLOTLIBRC": str(Path(matplotlib.get_data_path(), "matplotlibrc")),
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "OPENBLAS_NUM_THREADS": "1",  # of two kernels at once, each would wait for the other's cores
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # no chapter takes all memory of a GPU
}


def environment(profile: str = "") -> dict[str, str]:
    """Return what a kernel, in an empty folder for IPython, or Sphinx starts with."""
    kept = {name: value for name, value in os.environ.items() if not PERSONAL.match(name)}
    folders = {name: str(Path(kept[name]).resolve()) for name in FOLDERS if name in kept}
    return kept | folders | OURS | {"IPYTHONDIR": profile}


def main() -> None:
    """Be a kernel, with matplotlib's own settings and none of this machine's for IPython."""
    from ipykernel.kernelapp import IPKernelApp
    from IPython.core.application import ENV_CONFIG_DIRS, SYSTEM_CONFIG_DIRS

    matplotlib.rcdefaults()  # one beside the chapter has been read before that of MATPLOTLIBRC
    ENV_CONFIG_DIRS.clear()
    SYSTEM_CONFIG_DIRS.clear()
    IPKernelApp.launch_instance()


if __name__ == "__main__":
    main()
