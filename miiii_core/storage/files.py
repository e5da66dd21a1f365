"""Files that are either whole or not there: atomic writes, checked reads."""

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

HEADER = "header"
LEFTOVER = ".part"
PLAIN = (zipfile.ZIP_STORED,)
DEFLATED = (zipfile.ZIP_DEFLATED,)
SMALLEST = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)


class FileDamaged(Exception):
    """A file that is missing, truncated, altered, or not what it should be."""


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that a crash at any moment leaves the old one or the new one, whole.

    Raises:
        OSError: if the disk is full or the folder unwritable; the old file stays.
    """
    descriptor, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name}.", suffix=LEFTOVER
    )
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def is_leftover(path: Path) -> bool:
    """Whether a file is what a process leaves that was killed in `write_atomic`."""
    return path.name.startswith(".") and path.name.endswith(LEFTOVER)


def remove_leftovers(folder: Path) -> None:
    """Delete what killed processes left below a folder, where none is writing now."""
    for path in filter(is_leftover, folder.rglob(f"*{LEFTOVER}")):
        path.unlink(missing_ok=True)


def save_arrays(
    path: Path, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any], compress: bool = False
) -> None:
    """Write named arrays and a JSON header as one ``.npz``, atomically."""
    write_atomic(path, archive(arrays, header, DEFLATED if compress else PLAIN))


def archive(
    arrays: Mapping[str, np.ndarray], header: Mapping[str, Any], methods: Sequence[int] = PLAIN
) -> bytes:
    """Named arrays and a JSON header as the bytes of one ``.npz``, the same for the same input.

    Args:
        arrays: None of them called ``header``.
        header: Whatever JSON can hold.
        methods: Of compression; for each array, the one that makes it smallest is taken.
    """
    if HEADER in arrays:
        raise ValueError(f"an array cannot be called {HEADER}: that name is taken")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for name, array in {HEADER: np.array(json.dumps(header)), **arrays}.items():
            _add(zipped, f"{name}.npy", _npy(array), methods)
    return buffer.getvalue()


def load_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `save_arrays` wrote, every byte checked against its checksum.

    Raises:
        FileDamaged: if the file is missing, truncated, altered, or of another kind.
    """
    content = _read(path)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise FileDamaged(f"{path} is damaged: the checksum of {broken} does not match")
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return arrays, json.loads(str(arrays.pop(HEADER)))
    except FileDamaged:
        raise
    except Exception as error:  # zipfile, its decoders and NumPy each raise errors of their own
        raise FileDamaged(f"{path} is damaged or not of this kind: {error}") from error


def save_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically."""
    write_atomic(path, (json.dumps(value, indent=2) + "\n").encode())


def load_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        FileDamaged: if the file is missing or is not JSON.
    """
    try:
        return json.loads(_read(path))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FileDamaged(f"{path} is not valid JSON: {error}") from error


def check_writable(folder: Path, need: int) -> None:
    """Create a folder and make sure that it takes files and has room.

    Args:
        folder: Made if it is not there.
        need: Bytes that will be written.

    Raises:
        OSError: names the folder, and the room there is and should be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"miiii")
            file.flush()
    except OSError as error:
        raise OSError(
            f"cannot write to {folder}: {error.strerror}; choose another folder"
        ) from error
    status = os.statvfs(folder)
    room = status.f_bavail * status.f_frsize
    if room < need:
        raise OSError(
            f"{folder} has {room / 1e6:.0f} MB of room and the run needs {need / 1e6:.0f} MB; "
            "make room or choose a folder on another disk"
        )


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asanyarray(array), allow_pickle=False)
    return buffer.getvalue()


def _add(zipped: zipfile.ZipFile, name: str, content: bytes, methods: Sequence[int]) -> None:
    """Add a file to an archive, as small as one of the methods makes it."""
    one = len(methods) == 1
    best = methods[0] if one else min(methods, key=lambda method: _size(content, method))
    zipped.writestr(zipfile.ZipInfo(name), content, best)  # dated 1980, whenever it is written


def _size(content: bytes, method: int) -> int:
    """Bytes of an archive that holds only this."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        _add(zipped, "", content, [method])
    return buffer.tell()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileDamaged(f"{path} cannot be read: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
