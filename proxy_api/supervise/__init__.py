"""The processes of one proxy, and whether they live."""
