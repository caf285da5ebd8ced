"""The engine in one thread, without Ray or gRPC."""
