"""Where machines' records and rows are kept: LMDB's only home, and a store in memory."""
