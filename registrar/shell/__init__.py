"""Passes, one after the other: looks at the engine and at Consul, lets the core decide, and writes."""
