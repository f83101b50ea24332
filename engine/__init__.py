"""The one door to Docker: what runs on a machine, and what happens to it."""
