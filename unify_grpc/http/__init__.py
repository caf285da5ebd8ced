"""The HTTP edge of a gateway: the same engine as over gRPC, for callers that speak Segment."""
