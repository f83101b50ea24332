"""What the writer tells the API: what came of a change, and how the proxy stands. Core."""

from dataclasses import dataclass
from typing import Literal

Change = Literal["nothing", "runtime", "reload"]

ANSWER_S = 15.0  # every caller has an answer by then, whatever hangs


@dataclass(frozen=True, slots=True)
class Shown:
    """What a dry run shows: the runtime commands, and the difference of the configuration's files."""

    commands: tuple[str, ...]
    difference: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A change that is committed and serving, or, with `shown`, one that was only worked out; `version` is then what is
    in Consul now. `servers` are those that HAProxy can use.
    """

    servers: int
    version: int
    change: Change
    reason: str
    warnings: tuple[str, ...] = ()
    shown: Shown | None = None


@dataclass(frozen=True, slots=True)
class ServiceReport:
    """How one service stands. `servers` can be used, those `down` cannot; `gone` were admitted and left the catalog;
    `waiting` are in it and were not admitted.
    """

    version: int = 0
    servers: int = 0
    down: int = 0
    gone: int = 0
    waiting: int = 0
    held: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """How the proxy stands. `reason` says why it is not ready, "" when it is; `notes` are worth knowing anyway.

    `digest` names the configuration that HAProxy is to run; `state_digest` is the same at every replica that serves the
    same, whatever it binds.
    """

    reason: str
    digest: str = ""
    state_digest: str = ""
    services: tuple[tuple[str, ServiceReport], ...] = ()
    notes: tuple[str, ...] = ()
    reloads: int = 0
    runtime_changes: int = 0
    # How many changes, by what they took (runtime or reload) and their cause.
    changes: tuple[tuple[tuple[str, str], int], ...] = ()
    drifts: int = 0
    consul_answers: bool = False
