"""Thin nipype interfaces; no science inside."""
