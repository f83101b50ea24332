"""Parameters about where a destination's requests go. Core."""

from proxy_api.core import grammar
from proxy_api.core.parameters.row import Parameter

PORT = Parameter("port", "target", "port", lambda text: grammar.port(text) if text else 0, 0,
                 "Names the backend; with outboundHostname, the port to send to.", "8080", indexed=True)
HOST = Parameter("outboundHostname", "target", "host", grammar.hostname, "",
                 "Send to this host instead of the catalog's instances; needs port.", "db.internal", indexed=True)

ROWS = (PORT, HOST)
