"""Asking the processor for memory before it is read, from loops that Numba compiles."""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array


def _prefetch(_: Any, array: Any, row: Any, column: Any) -> Any:
    """prefetch(array, row, column) begins to fetch the cache line of array[row, column], and does not wait for it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind, *_ = signature.args
        values = zip(arguments[1:], signature.args[1:], strict=True)
        place = [context.cast(builder, value, given, types.intp) for value, given in values]
        data = make_array(kind)(context, builder, arguments[0])  # type: ignore[no-untyped-call]
        pointer = cgutils.get_item_pointer(context, builder, kind, data, place)  # type: ignore[no-untyped-call]
        pointer = builder.bitcast(pointer, ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        shape = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
        instruction = builder.module.declare_intrinsic("llvm.prefetch", (pointer.type,), shape)
        builder.call(instruction, [pointer, number(0), number(3), number(1)])  # for reading, to all levels of cache, data
        return context.get_dummy_value()

    return types.void(array, row, column), generate


prefetch: Any = intrinsic(_prefetch)
