import json
from zlib import compress

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from miiii_core.storage.packing import (
    HALF_ERROR,
    byte_planes,
    from_byte_planes,
    largest_relative_error,
    pack,
    quantise_rows,
    relative_rms_error,
    restore_rows,
    round_to_half,
    unpack,
)

DTYPES = (np.float32, np.float16, np.float64, np.int32, np.int64, np.int8, np.bool_)
shapes = arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
numbers = st.sampled_from(DTYPES).flatmap(lambda dtype: arrays_of.arrays(dtype, shapes))
singles = arrays_of.arrays(np.float32, shapes)
plain = st.floats(-(2.0**90), 2.0**90, width=32).filter(lambda x: x == 0 or abs(x) > 2.0**-90)
matrices = arrays_of.arrays(
    np.float32,
    arrays_of.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5),
    elements=plain,
)


def back(arrays, method):
    """Packed, written as JSON where it is JSON, and unpacked."""
    parts, notes = pack(arrays, dict.fromkeys(arrays, method))
    return unpack(parts, json.loads(json.dumps(notes)))


def same_bits(found, array):
    assert found.dtype == array.dtype and found.shape == array.shape
    assert found.tobytes() == array.tobytes()


# Nothing lost


@given(array=numbers)
@settings(deadline=None)
def test_exact_is_exact_to_the_bit(array):
    same_bits(back({"W_E": array}, "exact")["W_E"], array)


@given(array=numbers)
@settings(deadline=None)
def test_planes_are_the_bytes_one_by_one(array):
    planes = byte_planes(array)
    assert planes.shape == (array.dtype.itemsize, *array.shape)
    little = array.astype(array.dtype.newbyteorder("<"))
    for index in np.ndindex(array.shape):
        assert bytes(planes[(slice(None), *index)].tolist()) == little[index].tobytes()
    same_bits(from_byte_planes(planes, array.dtype), array)


def test_order_in_memory_does_not_count():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    for other in (array.T, np.asfortranarray(array), array[::2, ::-1]):
        np.testing.assert_array_equal(back({"a": other}, "exact")["a"], other)
    swapped = array.astype(">f4")
    np.testing.assert_array_equal(back({"a": swapped}, "exact")["a"], array)


def test_names_may_have_dots_and_share_beginnings():
    arrays = {"a": np.arange(3), "a.b": np.arange(4), "a.b.0": np.arange(5)}
    found = back(arrays, "exact")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


# Half precision


def half_oracle(value):
    """Scaled into float16's range by a power of two, rounded there, and scaled back."""
    if value == 0:
        return value
    fraction, exponent = np.frexp(np.float64(value))
    return np.ldexp(np.float64(np.float16(fraction)), exponent)


@given(
    value=st.floats(-(2.0**120), 2.0**120, width=32).filter(lambda x: x == 0 or abs(x) > 2**-120)
)
@settings(deadline=None)
def test_half_is_float16_with_more_exponents(value):
    rounded = round_to_half(np.array([value], np.float32))
    assert rounded.dtype == np.float32 and rounded[0] == half_oracle(value)
    assert abs(rounded[0] - value) <= 2.0**-11 * abs(value)


@given(value=st.floats(2.0**-14, 60000, width=32))
@settings(deadline=None)
def test_half_is_float16_where_float16_is_at_home(value):
    array = np.array([value, -value], np.float32)
    np.testing.assert_array_equal(round_to_half(array), array.astype(np.float16).astype(np.float32))


@given(array=singles)
@settings(deadline=None)
@example(np.float32([3.4e38, 1e-45, -0.0, np.nan, np.inf, -np.inf]))
@example(np.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001], np.uint32).view(np.float32))
def test_half_is_good_enough_or_not_used(array):
    parts, notes = pack({"loss": array}, {"loss": "half"})
    found = unpack(parts, notes)["loss"]
    assert found.shape == array.shape and found.dtype == np.float32
    counted = np.isfinite(array) & (array != 0)
    exact, error = array[counted].astype(np.float64), notes["loss"]["error"]
    assert error <= HALF_ERROR
    np.testing.assert_array_less(np.abs(found[counted] - exact), np.abs(exact) * (error + 1e-12))
    np.testing.assert_array_equal(found[~counted], array[~counted])
    if error == 0:
        same_bits(found, array)


@pytest.mark.parametrize("size", [1e-30, 1e-8, 6e-5, 1.0, 1e5, 1e30])
def test_gradient_norms_of_any_size_keep_their_digits(size):
    norms = np.geomspace(size, 7 * size, 50).astype(np.float32)
    parts, notes = pack({"grad_norm": norms}, {"grad_norm": "half"})
    assert 0 < notes["grad_norm"]["error"] <= 2.0**-11
    assert not parts["grad_norm.0"].any(), "the plane of dropped digits is empty"


@pytest.mark.parametrize("value", [1e-45, 3e-41, 3.4028235e38])
def test_what_half_cannot_hold_stays_exact(value):
    array = np.float32([1.0, 1.0001, value])
    parts, notes = pack({"loss": array}, {"loss": "half"})
    assert notes["loss"]["error"] == 0
    same_bits(unpack(parts, notes)["loss"], array)


def test_half_leaves_other_kinds_alone():
    for array in (np.arange(1000, 1300), np.float16([1.001]), np.array([True, False])):
        same_bits(back({"a": array}, "half")["a"], array)


def test_half_makes_double_single_where_single_can_hold_it():
    parts, notes = pack({"loss": np.float64([np.pi, -1e-30])}, {"loss": "half"})
    found = unpack(parts, notes)["loss"]
    assert found.dtype == np.float32 and 0 < notes["loss"]["error"] <= 2.0**-11
    for value in (1e300, 1e-300):
        array = np.float64([1.0, value])
        same_bits(back({"a": array}, "half")["a"], array)


# Eight bits and a scale for each row


def rows_oracle(matrix):
    """Row by row and number by number, in plain Python; and half a scale for each number."""
    found, room = np.zeros(matrix.shape), np.zeros(matrix.shape)
    for index in np.ndindex(matrix.shape[:-1]):
        row = [float(x) for x in matrix[index]]
        scale = float(np.float32(max(map(abs, row), default=0.0) / 127))
        for j, x in enumerate(row):
            code = round(x / scale) if scale else 0
            found[(*index, j)], room[(*index, j)] = max(-127, min(127, code)) * scale, scale / 2
    return found, room


@given(matrix=matrices)
@settings(deadline=None)
def test_rows_are_within_half_a_scale(matrix):
    parts, notes = pack({"W_U": matrix}, {"W_U": "rows"})
    found = unpack(parts, notes)["W_U"]
    assert found.shape == matrix.shape and found.dtype == np.float32
    right, room = rows_oracle(matrix)
    np.testing.assert_allclose(found, right, rtol=1e-6)
    assert (np.abs(found - matrix.astype(np.float64)) <= room * (1 + 1e-5)).all()
    assert (found[matrix == 0] == 0).all()


@given(matrix=matrices.filter(lambda matrix: matrix.any()))
@settings(deadline=None)
def test_the_error_of_rows_is_stated(matrix):
    parts, notes = pack({"W_U": matrix}, {"W_U": "rows"})
    found = unpack(parts, notes)["W_U"].astype(np.float64)
    off = sum((a - b) ** 2 for a, b in zip(found.flat, matrix.astype(np.float64).flat, strict=True))
    size = sum(float(b) ** 2 for b in matrix.flat)
    assert notes["W_U"]["error"] == pytest.approx((off / size) ** 0.5, abs=1e-12)
    assert notes["W_U"]["error"] <= matrix.shape[-1] ** 0.5 / 254 * (1 + 1e-5)


def test_gaussian_weights_keep_two_digits():
    weights = np.random.default_rng(0).normal(size=(4, 64, 256)).astype(np.float32)
    assert 0 < pack({"W": weights}, {"W": "rows"})[1]["W"]["error"] < 0.01


def test_rows_packed_again_do_not_change():
    weights = np.random.default_rng(1).normal(size=(8, 33)).astype(np.float32)
    codes, scales = quantise_rows(weights)
    again = quantise_rows(restore_rows(codes, scales))
    np.testing.assert_array_equal(again[0], codes)
    np.testing.assert_allclose(again[1], scales, rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, -0.0, 3.25, -1e-6, 1e30])
def test_constants_come_back(value):
    matrix = np.full((3, 5), value, np.float32)
    np.testing.assert_allclose(back({"W": matrix}, "rows")["W"], matrix, rtol=1e-6)


@pytest.mark.parametrize("shape", [(0,), (0, 4), (4, 0), (2, 0, 3)])
def test_empty_matrices_come_back(shape):
    parts, notes = pack({"W": np.zeros(shape, np.float32)}, {"W": "rows"})
    assert unpack(parts, notes)["W"].shape == shape and notes["W"]["error"] == 0


def test_numbers_too_small_for_a_scale_are_said_to_be_lost():
    tiny = np.full((2, 3), 1e-45, np.float32)
    parts, notes = pack({"W": tiny}, {"W": "rows"})
    assert not unpack(parts, notes)["W"].any() and notes["W"]["error"] == 1


def test_half_precision_weights_can_be_rounded_further():
    weights = np.random.default_rng(2).normal(size=(4, 9)).astype(np.float16)
    found = back({"W": weights}, "rows")["W"]
    assert found.dtype == np.float32
    assert relative_rms_error(found, weights) < 0.01


# Refused


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_refuse_what_is_not_finite(bad):
    with pytest.raises(ValueError, match="W_U cannot be packed: .* neither infinities nor NaN"):
        pack({"W_U": np.float32([[1, bad]])}, {"W_U": "rows"})


@pytest.mark.parametrize("array", [np.array(1.0, np.float32), np.arange(4)])
def test_rows_refuse_what_has_none(array):
    with pytest.raises(ValueError, match="W cannot be packed: 8 bits a number are for rows"):
        pack({"W": array}, {"W": "rows"})


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([1j]), np.array([None])])
def test_only_real_numbers_are_packed(array):
    with pytest.raises(ValueError, match="a cannot be packed: .* is no real number"):
        pack({"a": array}, {"a": "exact"})


@pytest.fixture(params=["exact", "half", "rows"])
def packed(request):
    arrays = {name: np.ones((2, 3), np.float32) for name in ("W_E", "W_U")}
    return pack(arrays, dict.fromkeys(arrays, request.param))


def test_a_lost_part_is_noticed(packed):
    parts, notes = packed
    for name in parts:
        with pytest.raises(ValueError, match="parts and notes do not fit each other"):
            unpack({n: v for n, v in parts.items() if n != name}, notes)


def test_a_foreign_part_is_noticed(packed):
    parts, notes = packed
    with pytest.raises(ValueError, match="no note tells what W_V.0 is"):
        unpack(parts | {"W_V.0": np.zeros(3, np.uint8)}, notes)
    with pytest.raises(ValueError, match="do not fit"):
        unpack(parts | {"W_E.9": np.zeros((2, 3), np.uint8)}, notes)


@pytest.mark.parametrize(
    "note",
    [
        {},
        [],
        None,
        {"method": "planes"},
        {"method": "zip", "dtype": "float32"},
        {"method": "planes", "dtype": "object"},
        {"method": "planes", "dtype": "float16"},
        {"method": "planes", "dtype": "no such"},
        {"method": "rows", "dtype": "float16"},
    ],
)
def test_a_senseless_note_is_refused(packed, note):
    parts, notes = packed
    with pytest.raises(ValueError, match="do not fit each other"):
        unpack(parts, notes | {"W_U": note})


def test_parts_of_the_wrong_kind_or_shape_are_refused(packed):
    parts, notes = packed
    for name, values in parts.items():
        for wrong in (values.astype(np.int32), np.concatenate([values, values])):
            with pytest.raises(ValueError, match="do not fit each other"):
                unpack(parts | {name: wrong}, notes)


def test_errors_are_measured_as_said():
    exact = np.float32([0.0, 1.0, -2.0, np.nan, np.inf])
    found = np.float32([5.0, 1.5, -2.0, np.nan, np.inf])
    assert largest_relative_error(found, exact) == 0.5
    assert relative_rms_error(np.float32([3.0, 0.0]), np.float32([3.0, 4.0])) == pytest.approx(0.8)
    assert relative_rms_error(np.zeros(2), np.zeros(2)) == 0


def test_a_compressor_finds_more_in_planes():
    weights = np.random.default_rng(3).normal(size=4000).astype(np.float32)
    planes = sum(len(compress(plane.tobytes(), 9)) for plane in byte_planes(weights))
    assert planes < 0.93 * len(compress(weights.tobytes(), 9))
