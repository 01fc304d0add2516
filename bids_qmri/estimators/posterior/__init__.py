"""Estimators with a prior: the maximum and the mean of the posterior."""
