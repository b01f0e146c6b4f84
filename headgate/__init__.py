"""The front door: the command line, and the same engine without a cluster."""
