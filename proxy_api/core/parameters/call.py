"""Parameters about the call itself: no part of what is asked for, and never stored. Core."""

from proxy_api.core import grammar
from proxy_api.core.parameters.row import Parameter

DRY_RUN = Parameter("dryRun", "call", "dry_run", grammar.boolean, False,
                    "Answer what the call would do, and change nothing. A misspelt or empty one is refused.", "true")

ROWS = (
    Parameter("distribute", "call", "distribute", grammar.boolean, False,
              "Accepted and echoed; every replica learns of every change anyway.", "true"),
    Parameter("strict", "call", "strict", grammar.boolean, False,
              "Refuse unknown parameters, as the setting `STRICT_PARAMETERS` does for every call; of `remove`, also a "
              "service that is not configured.", "true"),
    DRY_RUN,
)
