"""What proxy-api knows of Consul and writes to it."""
