"""Parts of ``benchmarks/kuppens2025.py``; not a program of their own."""
