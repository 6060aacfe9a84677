"""Google's gRPC services on loopback, for the real client libraries to talk to."""
