"""The one form of every program's log."""
