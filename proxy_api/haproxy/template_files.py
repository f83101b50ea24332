"""The operator's template files, below one directory that the operator names. Edge."""

import os
from pathlib import Path

from proxy_api.core.errors import InvalidTemplate
from proxy_api.core.parameters import templates
from proxy_api.core.release import Kind, Template
from proxy_api.core.spec import ServiceSpec, Templates

MAX_BYTES = 256 * 1024


class TemplateFiles:
    """Reads what a spec names, and nothing outside the directory, links followed."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def read(self, spec: ServiceSpec) -> tuple[Template, ...]:
        """The templates of a route; raises InvalidTemplate with the parameter that named the file."""
        if not isinstance(spec.body, Templates):
            return ()
        named: tuple[tuple[str, Kind, str], ...] = (
            (templates.SECTIONS.name, "sections", spec.body.sections),
            (templates.FRONTEND.name, "frontend", spec.body.frontend),
            (templates.BACKEND.name, "backend", spec.body.backend),
        )
        return tuple(Template(kind, path, self._text(parameter, path)) for parameter, kind, path in named if path)

    def _text(self, parameter: str, path: str) -> str:
        base = Path(os.path.realpath(self._directory))
        real = Path(os.path.realpath(base / path))
        if not real.is_relative_to(base):
            raise InvalidTemplate(f"{parameter}: {path} is not below {self._directory} (CONSUL_TEMPLATES_PATH)")
        try:
            # A pipe or a device would block or never end; only a plain file is a template.
            if not real.is_file():
                raise InvalidTemplate(f"{parameter}: there is no file {path}; put it below {self._directory} "
                                      "on this proxy's node")
            if real.stat().st_size > MAX_BYTES:
                raise InvalidTemplate(f"{parameter}: {path} is larger than {MAX_BYTES} bytes")
            return real.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise InvalidTemplate(f"{parameter}: {path} is not text in UTF-8") from None
        except OSError as fault:
            raise InvalidTemplate(f"{parameter}: {path} cannot be read: {fault.strerror}") from None
