"""Which containers are to be looked at: --include, --exclude, and the one-offs of docker compose. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from engine.container import Container
from registrar.core.naming import image_name

PROJECT_LABELS = ("com.docker.compose.project", "com.docker.stack.namespace")
ONE_OFF_LABEL = "com.docker.compose.oneoff"


@dataclass(frozen=True, slots=True)
class Filter:
    """One `KIND=PATTERN`; in a pattern `*` stands for anything, `?` for one character, `[…]` for one of those."""

    kind: str
    pattern: str

    def __str__(self) -> str:
        return f"{self.kind}={self.pattern}"

    def matches(self, container: Container) -> bool:
        return _KINDS[self.kind](container, self.pattern)


def read_filter(text: str) -> Filter:
    kind, sign, pattern = text.partition("=")
    if kind not in _KINDS or not sign or not pattern.strip():
        raise ValueError(f"give KIND=PATTERN, KIND being one of {', '.join(_KINDS)}")
    return Filter(kind, pattern.strip())


def why_left_out(container: Container, include: Sequence[Filter], exclude: Sequence[Filter]) -> str:
    """The filter that keeps a container out, "" where none does.

    Of the includes, one of each kind that was given has to match; of the excludes, none may.
    """
    for wanted in exclude:
        if wanted.matches(container):
            return f"left out by --exclude {wanted}"
    for kind in dict.fromkeys(wanted.kind for wanted in include):
        same = [wanted for wanted in include if wanted.kind == kind]
        if not any(wanted.matches(container) for wanted in same):
            return f"matches no --include {' or '.join(map(str, same))}"
    return ""


def is_one_off(container: Container) -> bool:
    """Whether `docker compose run` made it: a task of somebody's, not an instance of the service."""
    return container.label(ONE_OFF_LABEL).lower() == "true"


def _by_label(container: Container, pattern: str) -> bool:
    key, sign, value = pattern.partition("=")
    return any(key == k and (not sign or fnmatchcase(v, value)) for k, v in container.labels)


def _by_name(container: Container, pattern: str) -> bool:
    return fnmatchcase(container.name, pattern)


def _by_image(container: Container, pattern: str) -> bool:
    """By the image as it was given, without its tag and digest, or by its last element alone."""
    images = [container.image] if container.image else list(container.image_tags)
    spellings = [form for image in images for form in (image, _untagged(image), image_name(image))]
    return any(fnmatchcase(form, pattern) for form in spellings)


def _untagged(image: str) -> str:
    image = image.partition("@")[0]
    folder, sign, last = image.rpartition("/")
    return folder + sign + last.partition(":")[0]


def _by_network(container: Container, pattern: str) -> bool:
    return any(fnmatchcase(network.name, pattern) for network in container.networks)


def _by_project(container: Container, pattern: str) -> bool:
    names = [name for name in map(container.label, PROJECT_LABELS) if name]
    return any(fnmatchcase(name, pattern) for name in names)


_KINDS: dict[str, Callable[[Container, str], bool]] = {
    "label": _by_label, "name": _by_name, "image": _by_image, "network": _by_network, "project": _by_project}
