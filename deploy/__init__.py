"""Putting Portbook on a machine: installing what it needs, and running the real parts for demo, tests and bench."""
