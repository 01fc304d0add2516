"""Kernels of posteriors that Python calls."""

from __future__ import annotations

from bids_qmri.estimators.compiled.entry import Entry

HERE = "bids_qmri.estimators.posterior"
PAIR = ("d1", "d1")

integrate_amplitude = Entry(
    f"{HERE}.rician_kernel:integrate_amplitude", ("d2", "d2", "d1", PAIR, ("d", "d"), PAIR, "d", "d2=")
)
integrate_amounts = Entry(
    f"{HERE}.amounts_kernel:integrate_amounts", ("d2", "d2", PAIR, "d", ("d2", "d2"), "d2=")
)
draw = Entry(f"{HERE}.logistic_kernel:draw", ("d2", "d2", "d3", "d", "d3="))
add_density = Entry(f"{HERE}.logistic_kernel:add_density", ("d3", "d2", "d3", "d", "d", "d2="))
add_moments = Entry(f"{HERE}.averages_kernel:add_moments", ("d2", "d3", "d3="))
add_products = Entry(f"{HERE}.averages_kernel:add_products", ("d2", "d2", "d1="))
spread_of = Entry(f"{HERE}.averages_kernel:spread_of", ("d3", "d2", "d2=", "d3="))
