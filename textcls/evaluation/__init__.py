"""Metrics, calibration, plots and baselines, in numpy."""
