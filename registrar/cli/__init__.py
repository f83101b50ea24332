"""What the command line needs besides the parts that it starts."""
