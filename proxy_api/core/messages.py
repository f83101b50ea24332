"""What the API asks of the one writer, and what came of it. Values, and the hand-over between threads."""

from concurrent.futures import Future
from dataclasses import dataclass, field

from proxy_api.core.bisect import Judged
from proxy_api.core.plan import Plan
from proxy_api.core.spec import ServiceSpec

CALL_TIMEOUT_S = 120.0  # how long a caller waits for its turn and its answer


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a change that was not made would be: from what is served (None: nothing yet) to what would be."""

    before: Judged | None
    after: Judged
    step: Plan


@dataclass(frozen=True, slots=True)
class Shown:
    """What a dry run shows: the runtime commands, and the difference of the configuration's files."""

    commands: tuple[str, ...]
    difference: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A change that is committed and serving. `change` is nothing, runtime or reload. Of a dry run, one that would be;
    `version` is then what is in Consul now.
    """

    servers: int
    version: int
    change: str
    reason: str
    warnings: tuple[str, ...] = ()
    dry_run: DryRun | None = None
    shown: Shown | None = None


@dataclass(slots=True, eq=False)
class Job:
    """A change to one service: a new release of it, or (spec None) its removal. A dry run is worked out, not made."""

    service: str
    spec: ServiceSpec | None
    dry_run: bool = False
    result: "Future[Outcome]" = field(default_factory=Future)
    lost_races: int = 0
    alone: bool = False


@dataclass(frozen=True, slots=True)
class ServiceReport:
    """How one service stands. `gone` were admitted and left the catalog; `waiting` are in it and were not admitted."""

    version: int = 0
    servers: int = 0
    gone: int = 0
    waiting: int = 0
    held: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """How the proxy stands. `reason` says why it is not ready, "" when it is; `notes` are worth knowing anyway."""

    reason: str
    digest: str = ""
    services: tuple[tuple[str, ServiceReport], ...] = ()
    notes: tuple[str, ...] = ()
    reloads: int = 0
    runtime_changes: int = 0
    # How many changes, by what they took (runtime or reload) and their cause.
    changes: tuple[tuple[tuple[str, str], int], ...] = ()
    drifts: int = 0
    consul_answers: bool = False
