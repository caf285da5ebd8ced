"""Conformance: what every way of running the service must do, case by case."""
