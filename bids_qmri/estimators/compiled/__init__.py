"""Fits whose loops are machine code: `call` runs them, `library` finds or makes them, the rest is their source.

`lanes`, `functions`, `algebra`, `misfits` and `minimiser` are compiled by numba, in a process of its own
(`build`); programs that fit load the object code, which needs neither numba nor a compiler, only llvmlite.
"""
