"""The JSON that the API answers: the keys of 2016 first, in their casing and types, ours after them. Core.

Source of the ten keys and their order: the answer of 2016-05-28 (reference/proxy-api.md 1.2).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from proxy_api.core.errors import ProxyError
from proxy_api.core.messages import Outcome, Report, Shown

MAX_WARNINGS = 20

Json = dict[str, Any]


def answer(given: Mapping[str, Sequence[str]], status: str, message: str) -> Json:
    """Every key that an answer to a call has: the ten of 2016, echoing the request (an unset text is "", an unset
    list []), then ours, as they are where nothing was changed.
    """
    def text(name: str) -> str:
        return (given.get(name) or [""])[0][:1024]

    return {
        "Status": status,
        "Message": message,
        "ServiceName": text("serviceName"),
        "ServiceColor": text("serviceColor"),
        "ServicePath": [p for p in text("servicePath").split(",") if p],
        "ServiceDomain": text("serviceDomain"),
        "ConsulTemplateFePath": text("consulTemplateFePath"),
        "ConsulTemplateBePath": text("consulTemplateBePath"),
        "PathType": text("pathType"),
        "SkipCheck": text("skipCheck").lower() in ("1", "t", "true", "yes", "on"),
        "ConsulTemplatePath": text("consulTemplatePath"),
        "Distribute": False,
        "Servers": 0,
        "Version": 0,
        "Change": "nothing",
        "Reason": "",
        "Warnings": [],
    }


def changed(given: Mapping[str, Sequence[str]], outcome: Outcome, warnings: Sequence[str], distribute: bool) -> Json:
    """The answer to a change that is committed and serving, or to a dry run of one that could be."""
    told = [*warnings, *outcome.warnings]
    if len(told) > MAX_WARNINGS:
        told = [*told[:MAX_WARNINGS], f"and {len(told) - MAX_WARNINGS} more"]
    return {
        **answer(given, "OK", ""),
        "Distribute": distribute,
        "Servers": outcome.servers,
        "Version": outcome.version,
        "Change": outcome.change,
        "Reason": outcome.reason,
        "Warnings": told,
        **(_dry_run(outcome.shown) if outcome.shown is not None else {}),
    }


def _dry_run(shown: Shown) -> Json:
    return {"DryRun": True, "Commands": list(shown.commands), "Diff": shown.difference}


def not_there(given: Mapping[str, Sequence[str]], fault: ProxyError, warnings: Sequence[str],
              distribute: bool) -> Json:
    """The answer to a removal of what is not configured: done, and said in so many words."""
    return {**answer(given, "OK", str(fault)), "Distribute": distribute, "Warnings": [*warnings, str(fault)]}


def failed(given: Mapping[str, Sequence[str]], fault: ProxyError) -> Json:
    """The answer to a change that did not happen."""
    return answer(given, "NOK", str(fault))


def ready(report: Report, reason: str) -> Json:
    """The answer of the readiness probe."""
    return {
        "Status": "NOK" if reason else "OK",
        "Message": reason,
        "Detail": list(report.notes),
    }


def state(instance: str, report: Report) -> Json:
    """What each service's version is, and a digest of what is served: replicas that agree show the same, whatever they
    bind. `Configuration` names the text that this one runs.
    """
    return {
        "Status": "OK",
        "Instance": instance,
        "Digest": report.state_digest,
        "Configuration": report.digest,
        "Services": {
            name: {"Version": s.version, "Servers": s.servers, "Down": s.down, "Gone": s.gone, "Waiting": s.waiting,
                   "Problem": s.problem}
            for name, s in report.services
        },
    }
