"""Where registrations go besides the agent, and how a node without an agent shows that it lives."""
