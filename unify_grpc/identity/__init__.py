"""The pure decisions about people: what identifies them, and which of it belongs together.

Nothing here reads a clock, draws a random number or does I/O: every function answers from its
arguments, so one body of rules serves the service, the simulator and the tests.
"""
