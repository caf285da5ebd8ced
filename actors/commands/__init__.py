"""The commands of `unify` that talk to a running service."""
