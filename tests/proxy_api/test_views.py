"""The API's own HTTP, with a writer that can be held."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from proxy_api.api import views
from proxy_api.api.metrics import Metrics
from proxy_api.core.messages import Outcome, Report
from proxy_api.core.spec import ServiceSpec

CALL = f"{views.PREFIX}/reconfigure?serviceName=x&servicePath=/x"


def test_at_most_so_many_changes_wait_and_the_next_is_told_at_once() -> None:
    hold, inside = threading.Event(), threading.Semaphore(0)

    def change(service: str, spec: ServiceSpec | None, dry_run: bool) -> Outcome:
        inside.release()
        assert hold.wait(30)
        return Outcome(1, 1, "nothing", "")

    parts = views.Parts(change, lambda whole: Report(""), lambda report: "", Metrics(), "docker-flow")
    app = views.create_app(parts)
    with ThreadPoolExecutor(views.MAX_WAITING) as pool:
        waiting = [pool.submit(lambda: app.test_client().get(CALL).status_code) for _ in range(views.MAX_WAITING)]
        try:
            for _ in waiting:
                assert inside.acquire(timeout=10)
            refused = app.test_client().get(CALL)
            assert refused.status_code == 503
            assert f"{views.MAX_WAITING} changes are waiting already" in refused.json["Message"]  # type: ignore[index]
            assert app.test_client().get(f"{views.PREFIX}/ping").status_code == 200
        finally:
            hold.set()
        assert {future.result(10) for future in waiting} == {200}
    assert app.test_client().get(CALL).status_code == 200, "the places are free again"


def test_dry_runs_leave_room_for_changes() -> None:
    hold, inside = threading.Event(), threading.Semaphore(0)

    def change(service: str, spec: ServiceSpec | None, dry_run: bool) -> Outcome:
        if dry_run:
            inside.release()
            assert hold.wait(30)
        return Outcome(1, 1, "nothing", "")

    app = views.create_app(views.Parts(change, lambda whole: Report(""), lambda report: "", Metrics(), "docker-flow"))
    with ThreadPoolExecutor(views.MAX_DRY_RUNS) as pool:
        look = f"{CALL}&dryRun=true"
        waiting = [pool.submit(lambda: app.test_client().get(look).status_code) for _ in range(views.MAX_DRY_RUNS)]
        try:
            for _ in waiting:
                assert inside.acquire(timeout=10)
            refused = app.test_client().get(look)
            assert refused.status_code == 503
            assert f"{views.MAX_DRY_RUNS} dry runs are waiting" in refused.json["Message"]  # type: ignore[index]
            assert app.test_client().get(CALL).status_code == 200, "a change has a place"
        finally:
            hold.set()
        assert {future.result(10) for future in waiting} == {200}


def test_a_defect_has_every_key() -> None:
    def change(service: str, spec: ServiceSpec | None, dry_run: bool) -> Outcome:
        raise RuntimeError("a defect")

    parts = views.Parts(change, lambda whole: Report(""), lambda report: "", Metrics(), "docker-flow")
    document = views.create_app(parts).test_client().get(CALL)
    assert document.status_code == 500
    assert {"ServicePath", "ConsulTemplatePath", "Servers", "Version", "Change", "Reason", "Warnings"} <= set(
        document.json)  # type: ignore[arg-type]


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(JSON, st.integers(0, 3))
def test_json_made_in_steps_is_the_same_json(value: object, depth: int) -> None:
    assert json.loads(views.in_steps(value, depth)) == value
