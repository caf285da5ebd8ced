"""The gRPC edge: servicers, checks, wire and domain, errors, interceptors."""
