"""Every request parameter, one row each, in files by subject. Core.

Parser, errors, storage, recovery and documentation come from the rows.
"""

from proxy_api.core.parameters import call, checking, matching, service, target, templates
from proxy_api.core.parameters.row import Parameter

# In the order of the documents.
SPEC: tuple[Parameter, ...] = (*service.ROWS, *matching.ROWS, *checking.ROWS, *target.ROWS, *templates.ROWS)
CALL: tuple[Parameter, ...] = call.ROWS
BY_NAME: dict[str, Parameter] = {row.name: row for row in (*SPEC, *CALL)}
NAMES: tuple[str, ...] = tuple(BY_NAME)
