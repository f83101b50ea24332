"""What is to stand in Consul, and why: values and decisions."""
