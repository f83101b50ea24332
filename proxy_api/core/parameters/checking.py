"""Parameters about how HAProxy looks after a destination's servers. Core."""

from proxy_api.core import grammar
from proxy_api.core.parameters.row import Parameter

ROWS = (
    Parameter("skipCheck", "policy", "skip_check", grammar.boolean, False,
              "Leave out HAProxy's own check of the servers.", "true", indexed=True),
)
