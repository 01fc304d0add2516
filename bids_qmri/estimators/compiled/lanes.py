"""Eight voxels side by side in a vector register: the numbers that kernels compute with. Source of kernels.

`Lanes` are eight float64, `Mask` eight truth values; arithmetic is that of every lane by itself, so that a
voxel's result depends on no other voxel. Products and sums may be fused, the same in all lanes. Rows of eight
lie in flat arrays: row r of an array begins at element 8 r.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from bids_qmri.estimators.compiled.layout import WIDTH

DOUBLES = ir.VectorType(ir.DoubleType(), WIDTH)
TRUTHS = ir.VectorType(ir.IntType(1), WIDTH)
WORDS = ir.VectorType(ir.IntType(64), WIDTH)
FUSED = ("contract",)


class _LanesType(types.Type):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(name="Lanes")


class _MaskType(types.Type):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(name="Mask")


LANES, MASK = _LanesType(), _MaskType()
REAL = types.float64


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, DOUBLES)


@register_model(_MaskType)
class _MaskModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, TRUTHS)


def constant(kind: ir.VectorType, value: float) -> ir.Constant:
    """Return a vector of one value."""
    return ir.Constant(kind, [value] * WIDTH)


def _elementwise(result: Any, given: tuple[Any, ...], emit: Callable[..., Any]) -> Any:
    """Return a function of kernels that emits one instruction."""
    names = ", ".join(f"x{i}" for i in range(len(given)))

    def typed(typing_context: Any, *kinds: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return emit(builder, *arguments)

        return result(*given), generate

    # numba reads how many arguments there are from the function.
    space: dict[str, Any] = {"typed": typed}
    exec(f"def function(typing_context, {names}): return typed(typing_context, {names})", space)
    return intrinsic(space["function"])


def _called(name: str) -> Callable[..., Any]:
    def emit(builder: Any, *arguments: Any) -> Any:
        kind = ir.FunctionType(DOUBLES, [DOUBLES] * len(arguments))
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{WIDTH}f64")
        return builder.call(function, arguments)

    return emit


def _spread(builder: Any, value: Any) -> Any:
    first = builder.insert_element(ir.Constant(DOUBLES, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
    return builder.shuffle_vector(first, ir.Constant(DOUBLES, ir.Undefined), zeros)


spread = _elementwise(LANES, (REAL,), _spread)
"""One number in all lanes."""

_two = (LANES, LANES)
_add = _elementwise(LANES, _two, lambda builder, x, y: builder.fadd(x, y, flags=FUSED))
_subtract = _elementwise(LANES, _two, lambda builder, x, y: builder.fsub(x, y, flags=FUSED))
_multiply = _elementwise(LANES, _two, lambda builder, x, y: builder.fmul(x, y, flags=FUSED))
_divide = _elementwise(LANES, _two, lambda builder, x, y: builder.fdiv(x, y))
_negate = _elementwise(LANES, (LANES,), lambda builder, x: builder.fneg(x))
_less = _elementwise(MASK, _two, lambda builder, x, y: builder.fcmp_ordered("<", x, y))
_at_most = _elementwise(MASK, _two, lambda builder, x, y: builder.fcmp_ordered("<=", x, y))
_both = _elementwise(MASK, (MASK, MASK), lambda builder, x, y: builder.and_(x, y))
_either = _elementwise(MASK, (MASK, MASK), lambda builder, x, y: builder.or_(x, y))
_other = _elementwise(MASK, (MASK,), lambda builder, x: builder.not_(x))
where = _elementwise(LANES, (MASK, LANES, LANES), lambda builder, m, x, y: builder.select(m, x, y))
"""The first where a mask is true, else the second."""
sqrt = _elementwise(LANES, (LANES,), _called("sqrt"))
floor = _elementwise(LANES, (LANES,), _called("floor"))
size = _elementwise(LANES, (LANES,), _called("fabs"))
"""Absolute value."""
smaller = _elementwise(LANES, _two, lambda b, x, y: b.select(b.fcmp_ordered("<", y, x), y, x))
"""The smaller of two; the first where one is not a number."""
larger = _elementwise(LANES, _two, lambda b, x, y: b.select(b.fcmp_ordered(">", y, x), y, x))
"""The larger of two; the first where one is not a number."""


def _any(builder: Any, mask: Any) -> Any:
    return builder.icmp_unsigned(
        "!=", builder.bitcast(mask, ir.IntType(WIDTH)), ir.Constant(ir.IntType(WIDTH), 0)
    )


any_lane = _elementwise(types.boolean, (MASK,), _any)
"""Whether a mask is true in any lane."""


def _power(builder: Any, value: Any, shifted: Any) -> Any:
    bits = builder.shl(builder.bitcast(shifted, WORDS), constant(WORDS, 52))
    exponent = builder.add(bits, constant(WORDS, 1023 << 52))
    return builder.fmul(value, builder.bitcast(exponent, DOUBLES))


times_power = _elementwise(LANES, _two, _power)
"""x 2^k, of x and k + 1.5 2^52: the last bits of the latter are k."""


def _exponent(builder: Any, value: Any) -> Any:
    bits = builder.lshr(builder.bitcast(value, WORDS), constant(WORDS, 52))
    shifted = builder.or_(bits, constant(WORDS, 0x4330000000000000))
    return builder.fsub(builder.bitcast(shifted, DOUBLES), constant(DOUBLES, 2.0**52 + 1023.0))


def _mantissa(builder: Any, value: Any) -> Any:
    bits = builder.and_(builder.bitcast(value, WORDS), constant(WORDS, (1 << 52) - 1))
    return builder.bitcast(builder.or_(bits, constant(WORDS, 1023 << 52)), DOUBLES)


exponent = _elementwise(LANES, (LANES,), _exponent)
"""k of a positive normal number m 2^k with m from 1 to 2."""
mantissa = _elementwise(LANES, (LANES,), _mantissa)
"""m of the same."""


def _address(context: Any, builder: Any, signature: Any, arguments: Any, index: Any) -> Any:
    first = arguments[0]
    if isinstance(signature.args[0], types.Array):
        first = context.make_array(signature.args[0])(context, builder, first).data
    return builder.gep(first, [index])


@intrinsic
def load(typing_context: Any, array: Any, row: Any) -> Any:
    """Return a row of an array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        index = builder.mul(arguments[1], ir.Constant(ir.IntType(64), WIDTH))
        place = _address(context, builder, signature, arguments, index)
        return builder.load(builder.bitcast(place, DOUBLES.as_pointer()), align=8)

    return LANES(array, types.int64), generate


@intrinsic
def store(typing_context: Any, array: Any, row: Any, value: Any) -> Any:
    """Write a row of an array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        index = builder.mul(arguments[1], ir.Constant(ir.IntType(64), WIDTH))
        place = _address(context, builder, signature, arguments, index)
        builder.store(arguments[2], builder.bitcast(place, DOUBLES.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(array, types.int64, LANES), generate


def _whole(builder: Any, value: Any) -> Any:
    return builder.fptosi(value, ir.VectorType(ir.IntType(32), WIDTH))


@intrinsic
def gather(typing_context: Any, array: Any, index: Any) -> Any:
    """Return the elements of an array at the whole part of lanes, which must lie inside it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        places, found = _whole(builder, arguments[1]), ir.Constant(DOUBLES, ir.Undefined)
        for lane in range(WIDTH):
            number = ir.Constant(ir.IntType(32), lane)
            place = builder.sext(builder.extract_element(places, number), ir.IntType(64))
            element = builder.load(_address(context, builder, signature, arguments, place))
            found = builder.insert_element(found, element, number)
        return found

    return LANES(array, LANES), generate


numbers = _elementwise(
    LANES,
    (REAL,),
    lambda builder, step: builder.fmul(
        _spread(builder, step), ir.Constant(DOUBLES, [float(i) for i in range(WIDTH)])
    ),
)
"""The number of the lane times a step."""


def _binary(operation: Any, emitted: Any) -> None:
    """Let an operator of Python work on lanes, and on lanes and numbers."""

    @overload(operation, strict=False)
    def both(x: Any, y: Any) -> Any:
        if x is LANES and y is LANES:
            return lambda x, y: emitted(x, y)
        if x is LANES and isinstance(y, types.Float | types.Integer):
            return lambda x, y: emitted(x, spread(float(y)))
        if y is LANES and isinstance(x, types.Float | types.Integer):
            return lambda x, y: emitted(spread(float(x)), y)
        return None


def _masks(operation: Any, emitted: Any) -> None:
    @overload(operation, strict=False)
    def both(x: Any, y: Any) -> Any:
        return (lambda x, y: emitted(x, y)) if x is MASK and y is MASK else None


for _operation, _emitted in (
    (operator.add, _add),
    (operator.sub, _subtract),
    (operator.mul, _multiply),
    (operator.truediv, _divide),
    (operator.lt, _less),
    (operator.le, _at_most),
):
    _binary(_operation, _emitted)
for _operation, _emitted in ((operator.and_, _both), (operator.or_, _either)):
    _masks(_operation, _emitted)
_more = _elementwise(MASK, _two, lambda builder, x, y: builder.fcmp_ordered(">", x, y))
_at_least = _elementwise(MASK, _two, lambda builder, x, y: builder.fcmp_ordered(">=", x, y))
_binary(operator.gt, _more)
_binary(operator.ge, _at_least)


@overload(operator.neg, strict=False)
def _neg(x: Any) -> Any:
    return (lambda x: _negate(x)) if x is LANES else None


@overload(operator.invert, strict=False)
def _invert(x: Any) -> Any:
    return (lambda x: _other(x)) if x is MASK else None


@intrinsic
def _pointer(typing_context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.DoubleType().as_pointer())

    return types.CPointer(REAL)(types.int64), generate


@njit(inline="always")
def array(given: Any, index: int) -> Any:
    """Return the float64 at an address of a list of arguments; indices below 0 are not looked for."""
    return _pointer(given[index])
