"""The one form of what the programs log."""
