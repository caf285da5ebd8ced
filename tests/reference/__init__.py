"""An independent reading of the identity rules, for tests to compare the service with."""
