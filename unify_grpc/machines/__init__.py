"""Decisions of an actor: what one command changes, says and answers. No clock, no I/O."""
