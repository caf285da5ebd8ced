"""Decisions about where things live: slots, shards, members and the ids made of them."""
