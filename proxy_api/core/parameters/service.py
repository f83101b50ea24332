"""Parameters about a service as a whole. Core."""

from proxy_api.core import grammar
from proxy_api.core.parameters.row import Parameter

NAME = Parameter("serviceName", "spec", "name", grammar.name, "", "The service's name in the Consul catalog. Required.",
                 "go-demo")

ROWS = (
    NAME,
    Parameter("serviceColor", "spec", "color", grammar.optional_name, "",
              "Use the instances of `<serviceName>-<serviceColor>`, for a blue-green switch.", "blue"),
    Parameter("follow", "spec", "follow", grammar.one_of(*grammar.FOLLOW), "restarts",
              "never: exactly the admitted instances; restarts: admitted containers that come back elsewhere; "
              "all: whatever the catalog has.", "never"),
)
