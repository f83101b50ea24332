"""Parameters about which requests a destination takes. Core."""

from proxy_api.core import grammar
from proxy_api.core.parameters.row import Parameter

PATHS = Parameter("servicePath", "match", "paths", grammar.items(grammar.single_line), (),
                  "Comma-separated paths that belong to the service.", "/demo,/hello", indexed=True)
PATH_TYPE = Parameter("pathType", "match", "path_type", grammar.one_of("", *grammar.PATH_TYPES), "",
                      "How a path is compared, in HAProxy's words. Default path_beg.", "path_reg", indexed=True)

ROWS = (
    PATHS,
    Parameter("serviceDomain", "match", "domains", grammar.items(grammar.domain), (),
              "Comma-separated hosts; `*.acme.com` stands for every host below acme.com. Without it any host matches.",
              "acme.com,*.acme.com", indexed=True),
    PATH_TYPE,
)
