"""What registrar asks of the network: this node's addresses, and the web pages of tag templates."""
