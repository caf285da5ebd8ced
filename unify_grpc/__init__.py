"""Unify: resolves events to unified profiles and serves them over gRPC and HTTP."""
