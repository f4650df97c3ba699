"""Forecasting: real-valued series in and out."""
