"""The messages between the API's process and the writer's as JSON, a line each way. Core.

Nothing of it can be more than a value: what the other process sends is taken apart by hand.
"""

import json
from collections.abc import Mapping
from typing import Any

from proxy_api.core import stored_spec
from proxy_api.core.errors import ProxyError
from proxy_api.core.messages import Outcome, Report, ServiceReport, Shown
from proxy_api.core.spec import ServiceSpec

SOCKET = "writer.sock"  # below CONFIGS_PATH
PING = b'{"call": "ping"}\n'


class Refused(ProxyError):
    """The writer's refusal, with its text and status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


# --- questions -------------------------------------------------------------------------------------------------------

def change(service: str, spec: ServiceSpec | None, dry_run: bool) -> bytes:
    """A change of a service, or (spec None) its removal."""
    return _line({"call": "change", "service": service, "dry_run": dry_run,
                  "spec": None if spec is None else stored_spec.to_json(spec)})


def report(whole: bool) -> bytes:
    """How the proxy stands; `whole` with each service."""
    return _line({"call": "report", "whole": whole})


def question(line: bytes) -> dict[str, Any]:
    """What was asked: `call` and its arguments. Raises ValueError for anything else."""
    asked = json.loads(line)
    if not isinstance(asked, dict) or asked.get("call") not in ("change", "report", "ping"):
        raise ValueError("no call")
    if asked["call"] == "change":
        spec = asked["spec"]
        return {"call": "change", "service": str(asked["service"]), "dry_run": asked["dry_run"] is True,
                "spec": None if spec is None else stored_spec.from_json(spec)}
    return {"call": asked["call"], "whole": asked.get("whole") is True}


# --- answers ---------------------------------------------------------------------------------------------------------

def refusal(fault: ProxyError) -> bytes:
    """That it was not done."""
    return _line({"status": fault.status, "text": str(fault)})


def outcome(made: Outcome) -> bytes:
    """What came of a change."""
    shown = None if made.shown is None else [list(made.shown.commands), made.shown.difference]
    return _line({"outcome": [made.servers, made.version, made.change, made.reason, list(made.warnings), shown]})


def to_outcome(line: bytes) -> Outcome:
    """The inverse of `outcome`; raises Refused, and ValueError for what is neither."""
    servers, version, how, reason, warnings, shown = _answer(line)["outcome"]
    return Outcome(servers, version, how, reason, tuple(warnings),
                   None if shown is None else Shown(tuple(shown[0]), shown[1]))


def reported(made: Report) -> bytes:
    """How the proxy stands. Services are lists: there may be ten thousand of them."""
    return _line({"report": [
        made.reason, made.digest, made.state_digest, list(made.notes), made.reloads, made.runtime_changes,
        [[*labels, count] for labels, count in made.changes], made.drifts, made.consul_answers,
        [[name, s.version, s.servers, s.down, s.gone, s.waiting, s.held, s.problem] for name, s in made.services]]})


def to_report(line: bytes) -> Report:
    """The inverse of `reported`; raises Refused, and ValueError for what is neither."""
    (reason, digest, state_digest, notes, reloads, runtime_changes, changes, drifts, answers,
     services) = _answer(line)["report"]
    return Report(reason, digest, state_digest, tuple((name, ServiceReport(*rest)) for name, *rest in services),
                  tuple(notes), reloads, runtime_changes,
                  tuple(((change, cause), count) for change, cause, count in changes), drifts, answers)


def pong() -> bytes:
    """That the writer is there."""
    return _line({"pong": True})


def _answer(line: bytes) -> Mapping[str, Any]:
    found = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError("no answer")
    if "status" in found:
        raise Refused(int(found["status"]), str(found["text"]))
    return found


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
