"""The vectors of C: each function against exact values, at every exponent and every special number.

An error is counted in units in the last place (ulp): the distance to the next number, at the exact result.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gru_scratch.engines.native.compiler import load
from gru_scratch.engines.native.toolchain import CompilerError, find_compiler

Numbers = NDArray[Any]

DTYPES = {"float": np.float32, "double": np.float64}
OLDEST = ("-mno-avx", "-mno-fma") if platform.machine() in ("x86_64", "AMD64") else ()
"""No instruction there that multiplies and adds in one rounding."""
PROCESSORS = {"own": (), "oldest": (*OLDEST, "-DVECTOR_BYTES=16"), "widest": ("-DVECTOR_BYTES=64",)}
"""The flags by which a compiler takes this processor for another one."""

SMOOTH: dict[str, Callable[[Any], Any]] = {
    "cos": mpmath.cos,
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "log": lambda x: mpmath.log(x) if x > 0 else mpmath.mpf("-inf" if x == 0 else "nan"),
    "log1p": lambda x: mpmath.log1p(x) if x > -1 else mpmath.mpf("-inf" if x == -1 else "nan"),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "sin": mpmath.sin,
    "tanh": mpmath.tanh,
}
"""The functions that are ours, with their exact values."""

LIMIT = 3.0
"""In ulp."""

SOURCE = """
#define REAL {real}
#include "vectors.h"
#define APPLY(name) \\
    void all_##name(const REAL *x, REAL *y, long n) {{ \\
        for (long i = 0; i < n; i += V) v_store(y + i, v_##name(v_load(x + i))); \\
    }}
#define APPLY_TO_TWO(name) \\
    void all_##name(const REAL *a, const REAL *b, REAL *y, long n) {{ \\
        for (long i = 0; i < n; i += V) v_store(y + i, v_##name(v_load(a + i), v_load(b + i))); \\
    }}
APPLY(cos) APPLY(exp) APPLY(expm1) APPLY(log) APPLY(log1p) APPLY(sigmoid) APPLY(sin) APPLY(tanh)
APPLY(sqrt) APPLY(abs)
APPLY_TO_TWO(min) APPLY_TO_TWO(max) APPLY_TO_TWO(pow) APPLY_TO_TWO(copysign)
int lanes(void) {{ return V; }}
void set(REAL x, REAL *y) {{ v_store(y, v_set(x)); }}
void copy_some(const REAL *x, REAL *y, int n) {{ v_store(y, v_load_n(x, n)); }}
void store_some(const REAL *x, REAL *y, int n) {{ v_store_n(y, v_load(x), n); }}
"""

SWEEP = """
#define REAL float
#include "vectors.h"
#include <stdint.h>

/* The error in ulp of a result whose exact value is known as a double. Infinity counts as 2^128, the next number. */
static double error_of(float result, double exact) {{
    if (isnan(exact) || isnan(result)) return isnan(exact) && isnan(result) ? 0 : INFINITY;
    exact = exact > 0x1p128 ? 0x1p128 : exact < -0x1p128 ? -0x1p128 : exact;
    double near = isinf(result) ? (result > 0 ? 0x1p128 : -0x1p128) : result;
    union {{ float number; uint32_t bits; }} size = {{fminf(fabsf((float)exact), FLT_MAX)}};
    uint64_t exponent = size.bits < 1 << 24 ? 1 : size.bits >> 23; /* as of the least normal number, if below it */
    union {{ uint64_t bits; double number; }} per_ulp = {{(1023 + 150 - exponent) << 52}};
    return fabs(near - exact) * per_ulp.number;
}}

double sweep(float *worst) {{
    double largest = 0;
    for (uint64_t first = 0; first < (uint64_t)1 << 32; first += V * {stride}) {{
        bits number;
        for (int i = 0; i < V; i++) number[i] = (lane_bits)(first + i);
        vec result = v_{name}((vec)number);
        for (int i = 0; i < V; i++) {{
            double x = ((vec)number)[i], error = error_of(result[i], {exact});
            if (error > largest) largest = error, *worst = x;
        }}
    }}
    return largest;
}}
"""
IN_C = {
    "cos": "cos(x)",
    "exp": "exp(x)",
    "expm1": "expm1(x)",
    "log": "log(x)",
    "log1p": "log1p(x)",
    "sigmoid": "1 / (1 + exp(-x))",
    "sin": "sin(x)",
    "tanh": "tanh(x)",
}
"""The exact values in double precision, of which a float is half the digits."""


@pytest.fixture(scope="module", params=[f"{real} {processor}" for real, processor in product(DTYPES, PROCESSORS)])
def functions(request: pytest.FixtureRequest) -> Functions:
    real, processor = request.param.split()
    return Functions(real, PROCESSORS[processor])


class Functions:
    """The functions of the header, on arrays of any length."""

    def __init__(self, real: str, flags: tuple[str, ...]) -> None:
        try:
            find_compiler()
        except CompilerError as error:
            pytest.skip(str(error))
        self.dtype = DTYPES[real]
        # gcc notes that vectors wider than the processor's would be passed in another way: nothing passes them.
        self.library = load(SOURCE.format(real=real), (*flags, "-Wall", "-Wextra", "-Wno-psabi", "-Werror"))
        self.lanes = self.library.lanes()

    def __call__(self, name: str, *arguments: Numbers) -> Numbers:
        """A function of all numbers."""
        size = arguments[0].size
        padding = -size % self.lanes
        padded = [np.append(x, np.zeros(padding, self.dtype)).astype(self.dtype) for x in arguments]
        result = np.empty_like(padded[0])
        getattr(self.library, f"all_{name}")(*map(address, (*padded, result)), ctypes.c_long(result.size))
        return result[:size]


def address(array: Numbers) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def special_numbers(dtype: Any) -> Numbers:
    info = np.finfo(dtype)
    sizes = [0, info.smallest_subnormal, 3 * info.smallest_subnormal, info.tiny, info.eps, 0.5, 1, 2, info.max, np.inf]
    return np.array([sign * size for size in sizes for sign in (1, -1)] + [np.nan], dtype)


def samples(dtype: Any) -> Numbers:
    """Numbers of every exponent, subnormal ones among them, and many where the functions bend."""
    info = np.finfo(dtype)
    draw = np.random.default_rng(0)
    exponents = np.arange(info.minexp - info.nmant, info.maxexp).repeat(2)
    everywhere = np.ldexp(draw.uniform(1, 2, exponents.size), exponents) * draw.choice([-1, 1], exponents.size)
    bends = [draw.uniform(-size, size, 500) for size in (0.5, 2, 10, 40, info.maxexp)]
    near_one = 1 + draw.uniform(-1, 1, 500) * 2.0 ** draw.uniform(-info.nmant, -1, 500)
    return np.concatenate([everywhere, *bends, near_one, special_numbers(dtype)]).astype(dtype)


@cache
def samples_and_values(name: str, dtype: Any) -> tuple[Numbers, list[Any]]:
    x = samples(dtype)
    with mpmath.workprec(100):
        return x, [mpmath.mpf("nan") if np.isnan(value) else SMOOTH[name](mpmath.mpf(float(value))) for value in x]


def errors(result: Numbers, exact: list[Any]) -> Numbers:
    """In ulp; infinite where one is NaN or infinite and the other is not."""
    info = np.finfo(result.dtype)
    found = []
    for value, wanted in zip(result.tolist(), exact, strict=True):
        with np.errstate(over="ignore"):
            rounded = float(result.dtype.type(float(wanted)))
        if not np.isfinite(rounded) or not np.isfinite(value):
            same = value == rounded or (np.isnan(value) and np.isnan(rounded))
            found.append(0.0 if same else np.inf)
            continue
        exponent = max(np.frexp(rounded)[1] - 1, info.minexp) if rounded else info.minexp
        found.append(float(abs(value - wanted) / mpmath.ldexp(1, int(exponent) - info.nmant)))
    return np.array(found)


@pytest.mark.parametrize("name", SMOOTH)
def test_a_function_is_exact_to_the_last_digits(functions: Functions, name: str) -> None:
    x, exact = samples_and_values(name, functions.dtype)
    error = errors(functions(name, x), exact)
    worst = int(error.argmax())
    assert error[worst] <= LIMIT, f"{name}({x[worst]!r}) is {error[worst]:.2f} ulp off"


@pytest.mark.parametrize("name", [*SMOOTH, "sqrt", "abs"])
def test_special_numbers_become_what_they_become_in_pytorch(functions: Functions, name: str) -> None:
    x = special_numbers(functions.dtype)
    result = functions(name, x)
    expected = getattr(torch, name)(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(np.isnan(result), np.isnan(expected))
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=np.finfo(functions.dtype).tiny)
    signed = (x == 0) | (np.abs(expected) > 0)  # PyTorch's log1p of the least number below 0 is +0
    np.testing.assert_array_equal(np.signbit(result)[signed], np.signbit(expected)[signed])


@pytest.mark.parametrize(("name", "reference"), [("min", torch.minimum), ("max", torch.maximum), ("pow", torch.pow)])
def test_two_special_numbers_become_what_they_become_in_pytorch(
    functions: Functions, name: str, reference: Callable[..., torch.Tensor]
) -> None:
    numbers = special_numbers(functions.dtype)
    a, b = (grid.ravel() for grid in np.meshgrid(numbers, numbers))
    expected = reference(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_allclose(functions(name, a, b), expected, rtol=1e-6)


def test_a_sign_is_copied_from_any_number(functions: Functions) -> None:
    x = special_numbers(functions.dtype)
    np.testing.assert_array_equal(functions("copysign", x, -x), np.copysign(x, -x))


def test_every_lane_is_set_and_a_zero_keeps_its_sign(functions: Functions) -> None:
    number = ctypes.c_float if functions.dtype is np.float32 else ctypes.c_double
    result = np.empty(functions.lanes, functions.dtype)
    functions.library.set(number(-0.0), address(result))
    assert (result == 0).all()
    assert np.signbit(result).all()


def test_part_of_a_vector_is_loaded_and_stored_and_nothing_beyond_it(functions: Functions) -> None:
    x = np.arange(1, functions.lanes + 1).astype(functions.dtype)
    for n in range(functions.lanes + 1):
        loaded, stored = np.full_like(x, -1), np.full_like(x, -1)
        functions.library.copy_some(address(x), address(loaded), n)
        functions.library.store_some(address(x), address(stored), n)
        np.testing.assert_array_equal(loaded, np.where(np.arange(x.size) < n, x, 0))
        np.testing.assert_array_equal(stored, np.where(np.arange(x.size) < n, x, -1))


STRIDE = 41


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", IN_C)
def test_floats_from_the_least_to_the_largest(name: str) -> None:
    """Every 41st vector of them. All of them (a stride of 1) take one to four minutes each."""
    library = load(SWEEP.format(name=name, exact=IN_C[name], stride=STRIDE))
    library.sweep.restype = ctypes.c_double
    worst = ctypes.c_float()
    error = library.sweep(ctypes.byref(worst))
    print(f"{name}: at most {error:.2f} ulp, at {worst.value!r}")
    assert error <= LIMIT
