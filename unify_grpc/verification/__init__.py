"""Checks stores for everything that must hold of them; changes nothing."""
