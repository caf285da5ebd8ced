"""What fields of messages and rows may hold."""

from __future__ import annotations

from hypothesis import strategies as st

u8 = st.integers(0, 2**8 - 1)
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
i64 = st.integers(-(2**63), 2**63 - 1)
keys = st.binary(min_size=16, max_size=16)
members = st.binary(min_size=20, max_size=20)
marks = st.binary(min_size=8, max_size=8)
texts = st.text(st.characters(codec="utf-8"), max_size=40)
pairs = st.tuples(texts, texts)
drops = st.lists(st.tuples(u8, u8), max_size=3)
