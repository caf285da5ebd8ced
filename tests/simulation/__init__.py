"""All machines in one thread under a seeded schedule of delays, losses, repeats and crashes."""
