"""Benches: `python -m bench NAME`. What each measures, and what it found, is in README.md."""
