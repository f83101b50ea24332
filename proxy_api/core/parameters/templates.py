"""Parameters that name the operator's own HAProxy text. Core."""

from proxy_api.core import grammar
from proxy_api.core.parameters.row import Parameter

SECTIONS = Parameter("consulTemplatePath", "templates", "sections", grammar.template_path, "",
                     "One template file with whole sections (the form of May 2016).", "/consul_templates/go-demo.ctmpl")
FRONTEND = Parameter("consulTemplateFePath", "templates", "frontend", grammar.template_path, "",
                     "A template file for the inside of the shared frontend; goes with consulTemplateBePath.",
                     "/consul_templates/go-demo-fe.ctmpl")
BACKEND = Parameter("consulTemplateBePath", "templates", "backend", grammar.template_path, "",
                    "A template file with the backend sections; goes with consulTemplateFePath.",
                    "/consul_templates/go-demo-be.ctmpl")

ROWS = (SECTIONS, FRONTEND, BACKEND)
