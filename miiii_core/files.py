"""Files that are either whole or not there: atomic writes, checked reads, locked folders."""

import hashlib
import io
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

LEFTOVER = ".part"
RESTORE = "restore the file, or train the run again"


class RunError(Exception):
    """A run, or a file of one, that is missing, damaged, or not what was asked for."""


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that a crash, or a full disk's OSError, leaves the old or the new, whole."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{LEFTOVER}")
    try:
        with open(part, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        with suppress(OSError):  # the name as well, on systems that sync folders
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def read_whole(path: Path, sha256: str | None = None) -> bytes:
    """Read a file; raise `RunError` if it is not the one that a checksum was made of."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}; {RESTORE}") from error
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise RunError(f"{path} was altered: its SHA-256 is not that in run.json; {RESTORE}")
    return content


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray], *, compress: bool = False) -> None:
    """Write named arrays as one ``.npz``, atomically."""
    buffer = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(buffer, **dict[str, Any](arrays))
    write_atomic(path, buffer.getvalue())


def load_arrays(path: Path, sha256: str | None = None) -> dict[str, np.ndarray]:
    """Read an ``.npz``, every byte checked; `RunError` if it is missing, altered or no such.

    Without the file's SHA-256, a whole array that is missing goes unnoticed.
    """
    content = read_whole(path, sha256)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return dict(archive)
    except Exception as error:  # zipfile, its decoders and NumPy each raise errors of their own
        raise RunError(f"{path} is damaged or no .npz: {error}; {RESTORE}") from error


def make_folder(folder: Path) -> None:
    """Create a folder, or sweep out what killed processes left in it.

    OSError if it takes no files.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.rglob(f".*{LEFTOVER}"):
            path.unlink(missing_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"miiii")
    except OSError as error:
        raise _unwritable(folder, error) from error


@contextmanager
def held(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Keep other processes out of a folder, which need not exist, while this one writes to it.

    The lock lies beside the folder, so that it outlives one that is moved away. BlockingIOError
    if another process holds it and this one is not to wait.
    """
    place = folder.resolve()
    lock = FileLock(place.parent / f".{place.name}.lock")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        mine = lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            text = f"another process is writing to {folder}; wait for it or stop it"
            raise BlockingIOError(text) from None
        print(f"waiting for the process that writes to {folder}", file=sys.stderr)
        mine = lock.acquire()
    except OSError as error:
        raise _unwritable(place.parent, error) from error
    with mine:
        yield


def _unwritable(folder: Path, error: OSError) -> OSError:
    return OSError(f"cannot write to {folder}: {error.strerror}; choose another folder")
