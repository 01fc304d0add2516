"""Fits whose loops are machine code: `call` runs them, `library` finds or makes it, the rest is its source.

`lanes`, `functions`, `bessel`, `algebra`, `misfits`, `steps` and `minimiser`, and the `kernels` of
techniques, are compiled by numba in a process of its own (`build`). Programs that fit load the object code,
which needs neither numba nor a compiler, only llvmlite: a few hundredths of a second. What kernels are told
is in `layout`, and in `compiled` of a technique, which declares that there are any.

Kernels of arrays and numbers, in modules ``..._kernel`` of other packages, are called by an `entry`, and
their object code is made and loaded in the same way.
"""
