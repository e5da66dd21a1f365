"""Arrays made small for travel and whole again: byte planes, fewer digits, a byte a number.

A packed array is one or more arrays of whole numbers, its parts, and a note that
says how to undo it and what was lost:

===========  ==================================================================
``exact``    nothing is lost: byte i of every number goes into plane i, so that
             like stands beside like and a compressor finds what repeats
``half``     eleven significant binary digits, as float16 has, but float32's
             exponents, so that nothing over- or underflows; then byte planes.
             What even these cannot hold stays exact, and so do whole numbers
``rows``     8 bits: whole numbers from -127 to 127 and one scale for each
             vector along the last axis
===========  ==================================================================
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Float32, Int8, Shaped, UInt8

Method = Literal["exact", "half", "rows"]
Parts = dict[str, np.ndarray]
Note = dict[str, Any]
HALF_ERROR = 2.0**-10  # relative error up to which `half` counts as good enough
_DROPPED = 13  # of float32's 23 binary digits after the point; float16 has 10
_LARGEST = 127


def pack(
    arrays: Mapping[str, np.ndarray], methods: Mapping[str, Method]
) -> tuple[Parts, dict[str, Note]]:
    """Pack named arrays, each by its method.

    Args:
        arrays: Numbers of any real kind.
        methods: Of every array.

    Returns:
        The parts of all, and for each array a note, which is JSON: how it lies there
        (``method``, ``planes`` or ``rows``), its ``dtype``, and the relative ``error``:
        0 for ``exact``, the largest for ``half``, that of the root mean square over
        the array for ``rows``.

    Raises:
        ValueError: for an array that its method cannot hold; names it.
    """
    parts: Parts = {}
    notes: dict[str, Note] = {}
    for name, array in arrays.items():
        try:
            own, notes[name] = _PACKERS[methods[name]](array)
        except ValueError as error:
            raise ValueError(f"{name} cannot be packed: {error}") from error
        parts |= {f"{name}.{part}": values for part, values in own.items()}
    return parts, notes


def unpack(parts: Mapping[str, np.ndarray], notes: Mapping[str, Note]) -> dict[str, np.ndarray]:
    """What `pack` was given, as far as it was kept.

    Raises:
        ValueError: if parts or notes are missing, superfluous, or do not fit each other.
    """
    own: dict[str, Parts] = {name: {} for name in notes}
    for key, values in parts.items():
        name, _, part = key.rpartition(".")
        if name not in own:
            raise ValueError(f"no note tells what {key} is")
        own[name][part] = values
    try:
        return {name: _unpack_one(own[name], note) for name, note in notes.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"parts and notes do not fit each other: {error}") from error


def byte_planes(array: Shaped[np.ndarray, "..."]) -> UInt8[np.ndarray, "bytes ..."]:
    """Byte i of every number, least significant first, as plane i."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    planes = little.reshape(-1, 1).view(np.uint8).T
    return planes.reshape(array.dtype.itemsize, *array.shape)


def from_byte_planes(
    planes: UInt8[np.ndarray, "bytes ..."], dtype: np.dtype
) -> Shaped[np.ndarray, "..."]:
    """The inverse of `byte_planes`."""
    columns = np.ascontiguousarray(planes.reshape(len(planes), -1).T)
    numbers = columns.view(dtype.newbyteorder("<")).astype(dtype)
    return numbers.reshape(planes.shape[1:])


def round_to_half(array: Float32[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    """Each number rounded to float16's eleven significant digits, ties to even.

    The relative error is at most $2^{-11}$, but for numbers below float32's smallest
    normal one, $2^{-126}$. What is not finite stays as it is.
    """
    bits = array.view(np.uint32)
    to_even = (bits >> np.uint32(_DROPPED)) & np.uint32(1)
    raised = np.where(np.isfinite(array), bits, 0) + np.uint32((1 << (_DROPPED - 1)) - 1) + to_even
    rounded = (raised >> np.uint32(_DROPPED) << np.uint32(_DROPPED)).view(np.float32)
    return np.asarray(np.where(np.isfinite(array), rounded, array))


def quantise_rows(
    array: Float[np.ndarray, "*rows n"],
) -> tuple[Int8[np.ndarray, "*rows n"], Float32[np.ndarray, "*rows"]]:
    r"""Whole numbers $c$ and scales $s$ with $w \approx s c$ and $s = \max |w| / 127$ per row.

    No number is off by more than half a scale; a row of zeros has the scale 0.
    """
    wide = array.astype(np.float64)
    scales = np.asarray(np.abs(wide).max(axis=-1, initial=0.0) / _LARGEST, np.float32)
    divisors = np.where(scales > 0, scales, 1)
    codes = np.rint(wide / divisors[..., None]).clip(-_LARGEST, _LARGEST)
    return codes.astype(np.int8), scales


def restore_rows(
    codes: Int8[np.ndarray, "*rows n"], scales: Float32[np.ndarray, "*rows"]
) -> Float32[np.ndarray, "*rows n"]:
    """The numbers that codes and scales stand for."""
    return codes.astype(np.float32) * scales[..., None]


def largest_relative_error(
    found: Float[np.ndarray, "..."], exact: Float[np.ndarray, "..."]
) -> float:
    r"""$\max |x - \hat x| / |x|$ over entries that are neither zero nor infinite nor NaN."""
    counted = np.isfinite(exact) & (exact != 0)
    right = exact[counted].astype(np.float64)
    with np.errstate(over="ignore"):
        errors = np.abs(found[counted].astype(np.float64) - right) / np.abs(right)
    return float(errors.max(initial=0.0))


def relative_rms_error(found: Float[np.ndarray, "..."], exact: Float[np.ndarray, "..."]) -> float:
    r"""$\|x - \hat x\| / \|x\|$; 0 where both are zero."""
    right = exact.astype(np.float64)
    off, size = np.linalg.norm(found.astype(np.float64) - right), np.linalg.norm(right)
    return float(off / size) if size > 0 else float(off)


def _pack_planes(array: np.ndarray, error: float = 0.0) -> tuple[Parts, Note]:
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{array.dtype} is no real number")
    planes = {str(i): np.asarray(plane) for i, plane in enumerate(byte_planes(array))}
    return planes, {"method": "planes", "dtype": array.dtype.name, "error": error}


def _pack_half(array: np.ndarray) -> tuple[Parts, Note]:
    """In half precision if that is good enough, else exact."""
    if array.dtype not in (np.float32, np.float64):
        return _pack_planes(array)
    with np.errstate(over="ignore"):
        rounded = round_to_half(array.astype(np.float32))
    error = largest_relative_error(rounded, array)
    return _pack_planes(rounded, error) if error <= HALF_ERROR else _pack_planes(array)


def _pack_rows(array: np.ndarray) -> tuple[Parts, Note]:
    if array.dtype.kind != "f" or array.ndim == 0:
        raise ValueError(f"8 bits a number are for rows of reals, not {array.dtype}{array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("8 bits a number hold neither infinities nor NaN")
    codes, scales = quantise_rows(array)
    error = relative_rms_error(restore_rows(codes, scales), array)
    note = {"method": "rows", "dtype": "float32", "error": error}
    return {"codes": codes, "scales": scales}, note


def _unpack_one(parts: Parts, note: Note) -> np.ndarray:
    return _UNPACKERS[note["method"]](parts, np.dtype(note["dtype"]))


def _unpack_planes(parts: Parts, dtype: np.dtype) -> np.ndarray:
    if dtype.kind not in "biuf" or set(parts) != {str(i) for i in range(dtype.itemsize)}:
        raise ValueError(f"there are {sorted(parts)}")
    planes = np.stack([parts[str(i)] for i in range(dtype.itemsize)])
    if planes.dtype != np.uint8:
        raise ValueError(f"planes are of {planes.dtype}, not of bytes")
    return from_byte_planes(planes, dtype)


def _unpack_rows(parts: Parts, dtype: np.dtype) -> np.ndarray:
    codes, scales = parts["codes"], parts["scales"]
    if len(parts) != 2 or (codes.dtype, scales.dtype) != (np.int8, dtype):
        raise ValueError(f"there are { ({name: str(v.dtype) for name, v in parts.items()}) }")
    if codes.shape[:-1] != scales.shape or codes.ndim == 0:
        raise ValueError(f"codes of shape {codes.shape} and scales of shape {scales.shape}")
    return restore_rows(codes, scales)


_PACKERS: dict[Method, Callable[[np.ndarray], tuple[Parts, Note]]] = {
    "exact": _pack_planes,
    "half": _pack_half,
    "rows": _pack_rows,
}
_UNPACKERS: dict[str, Callable[[Parts, np.dtype], np.ndarray]] = {
    "planes": _unpack_planes,
    "rows": _unpack_rows,
}
