"""The loop: a hint, a timer or a retry makes a pass; its outcome is logged, counted and shown. It never gives up."""

import threading
import time
from dataclasses import dataclass, field

from catalog.errors import CatalogError
from engine.errors import EngineUnavailable
from registrar.core.decide import WHOSE
from registrar.core.outcome import Outcome
from registrar.shell.hints import EventReader, Hint, Hints
from registrar.shell.reconcile import Reconciler
from registrar.status.journal import Journal, described
from registrar.status.lasting import LastingThread
from registrar.status.metrics import Metrics

FIRST_LOOK_AFTER_S = 2.0  # where the event stream cannot be opened
MAX_PAUSE_S = 2.0
STUCK_AFTER_S = 120.0
NAMED_IDS = 5


@dataclass(slots=True)
class Status:
    """What the loop last did, for /health and /ready. Written by the loop, read by others."""

    interval_s: float
    last_turn: float = field(default_factory=time.monotonic)
    outcome: Outcome | None = None

    @property
    def alive(self) -> bool:
        """Whether the loop turns; without events it rests for an interval."""
        return time.monotonic() - self.last_turn < self.interval_s + STUCK_AFTER_S


class Loop(LastingThread):
    """Passes, one after the other, in a thread of their own, so that a signal ends the program at once."""

    def __init__(self, reconciler: Reconciler, hints: Hints, reader: EventReader, interval_s: float, journal: Journal,
                 metrics: Metrics, stop: threading.Event) -> None:
        super().__init__("loop", journal, stop)
        self._reconciler, self._hints, self._reader = reconciler, hints, reader
        self._interval_s, self._stop_event = interval_s, stop
        self._metrics = metrics
        self.status = Status(interval_s)

    def work(self) -> None:
        if not self._reader.is_alive():
            self._reader.start()
        hint = self._hints.wait(FIRST_LOOK_AFTER_S)
        full, failures, due = True, 0, 0.0
        while not self._stop_event.is_set():
            self.status.last_turn = now = time.monotonic()
            full = full or hint.everything or now >= due
            self._reconciler.note(hint.notes)
            done = self._pass(full, hint)
            self.works()
            if done:
                failures = 0
                if full:
                    due = time.monotonic() + self._interval_s
                full = False
                hint = self._hints.wait(self._until_next(due))
            else:
                # A failed pass leaves nothing that could be relied on: the next one looks at everything.
                full, failures = True, failures + 1
                self._stop_event.wait(min(MAX_PAUSE_S, 0.05 * 2 ** min(failures, 10)))
                hint = Hint()

    @property
    def ill(self) -> str:
        return super().ill or ("" if self.status.alive else "no pass has been made for minutes")

    def end(self, timeout_s: float) -> None:
        """Wait until no pass runs any more, after the stop event was set."""
        self._hints.touch_everything()  # it may be waiting for a hint
        self.join(timeout_s)

    def _until_next(self, due: float) -> float:
        rest, sooner = max(0.0, due - time.monotonic()), self._reconciler.due_in()
        return rest if sooner is None else min(rest, sooner)

    def _pass(self, full: bool, hint: Hint) -> bool:
        kind, began = "full" if full else "hint", time.monotonic()
        try:
            outcome = (self._reconciler.full_pass() if full
                       else self._reconciler.hint_pass(hint.containers, hint.rewired))
        except CatalogError as fault:
            self._journal.trouble("consul", str(fault))
        except EngineUnavailable as fault:
            self._journal.trouble("docker", str(fault))
            # If the engine hangs, so may the stream; a new one follows as soon as it answers.
            self._reader.reconnect()
        except Exception as fault:
            # A defect of ours must not end the service; the next pass starts from nothing.
            self._journal.trouble("defect", described(fault))
        else:
            self._tell(kind, outcome, time.monotonic() - began)
            return True
        self._metrics.passes.labels(kind, "failed").inc()
        return False

    def _tell(self, kind: str, outcome: Outcome, seconds: float) -> None:
        for what in ("consul", "docker", "defect"):
            self._journal.over(what)
        self.status.outcome = outcome.without_done_writes()
        count(self._metrics, kind, outcome, seconds)
        self._metrics.set_retries(self._reconciler.retries)
        tell(self._journal, kind, outcome, seconds)


def count(metrics: Metrics, kind: str, outcome: Outcome, seconds: float) -> None:
    """Put an outcome into the metrics."""
    metrics.passes.labels(kind, "done").inc()
    metrics.duration.labels(kind).observe(seconds)
    metrics.writes.labels("register", "done").inc(len(outcome.registered))
    metrics.writes.labels("deregister", "done").inc(len(outcome.deregistered))
    metrics.writes.labels("hold", "done").inc(len(outcome.held))
    metrics.writes.labels("release", "done").inc(len(outcome.released))
    metrics.wanted.set(len(outcome.draft.registrations))
    metrics.owned.set(outcome.owned)
    metrics.failing.set(len(outcome.failed))
    metrics.faults.set(len(outcome.draft.faults))
    metrics.set_skipped(skip.code for skip in outcome.draft.skips)
    wrote = outcome.registered or outcome.deregistered or outcome.held or outcome.released
    metrics.heard_from("docker", *(("consul",) if kind == "full" or wrote else ()))


def tell(journal: Journal, kind: str, outcome: Outcome, seconds: float) -> None:
    """Log an outcome: what it wrote, and whatever is new about what it did not."""
    draft = outcome.draft
    for doubt in journal.news("doubt", draft.doubts):
        journal.warn("doubt", why=doubt)
    for fault in journal.news("fault", draft.faults):
        journal.warn("metadata", container=fault.container, key=fault.key, value=fault.value[:200], rule=fault.rule)
    # That a container has ended, or is not ours to look at, is no news.
    told = (s for s in draft.skips if s.code not in ("not-running", "filtered"))
    # A range of a thousand ports is one line.
    alike: dict[tuple[str, str], list[str]] = {}
    for skip in journal.news("skip", told):
        alike.setdefault((skip.container, skip.reason), []).append(skip.port or "-")
    for (container, reason), ports in alike.items():
        named = ports if len(ports) <= NAMED_IDS else (*ports[:NAMED_IDS], f"and {len(ports) - NAMED_IDS} more")
        journal.info("skipped", container=container, port=", ".join(named), reason=reason)
    for service_id, _ in draft.plan.ask:
        journal.warn("question", service=service_id, why=WHOSE)
    for service_id in draft.plan.answer:
        journal.warn("question-answered", service=service_id, why="another registrar has the same node id and asks "
                     "whose entry it is; give each a --node-id of its own")
    if draft.conflicts:
        journal.trouble("node-id", "another registrar has the same node id, so these entries are left alone; give each "
                        f"a --node-id of its own: {'; '.join(draft.conflicts[:NAMED_IDS])}")
    else:
        journal.over("node-id")
    for service_id, reason in outcome.failed:
        journal.trouble(f"write {service_id}", reason)
    failing = {f"write {service_id}" for service_id, _ in outcome.failed}
    for what in journal.troubles():
        if what.startswith("write ") and what not in failing:
            journal.over(what)
    for service_id in outcome.held:
        journal.info("drain", service=service_id, why=dict(draft.holds).get(service_id, ""))
    for service_id in outcome.released:
        journal.info("drain-over", service=service_id)
    say = journal.info if outcome.registered or outcome.deregistered else journal.debug
    say("pass", kind=kind, registered=_ids(outcome.registered), deregistered=_ids(outcome.deregistered),
        failed=len(outcome.failed), wanted=len(draft.registrations), ms=round(1000 * seconds))


def _ids(ids: tuple[str, ...]) -> str:
    if len(ids) > NAMED_IDS:
        return str(len(ids))
    return f"{len(ids)}:{','.join(ids)}" if ids else "0"
