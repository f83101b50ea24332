"""proxy-api: an HTTP API with an HAProxy under its care; what it was told lives in Consul."""
