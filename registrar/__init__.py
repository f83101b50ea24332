"""The agent on every node: published container ports go into the Consul catalog and out of it again."""
