"""HTTP in, values out; no rules. Entry."""

import contextlib
import hmac
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flask import Blueprint, Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from proxy_api.api.metrics import Metrics
from proxy_api.core import answers, requests
from proxy_api.core.errors import Fault, InvalidRequest, ProxyError, Unauthorized, Unavailable, UnknownService
from proxy_api.core.messages import Outcome, Report
from proxy_api.core.spec import ServiceSpec

log = logging.getLogger("proxy-api")

PREFIX = "/v1/docker-flow-proxy"
MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_WAITING = 56  # of the server's 64 threads; the others are for the probes
MAX_DRY_RUNS = 8  # of these, so that looks leave room for changes


@dataclass(frozen=True, slots=True)
class Parts:
    """What the API talks to. `report` is how the proxy stands, with each service where it is asked for the whole; it
    raises Unavailable. `fault` asks HAProxy whether it serves what was applied: "" or what is wrong.
    """

    change: Callable[[str, ServiceSpec | None, bool], Outcome]
    report: Callable[[bool], Report]
    fault: Callable[[Report], str]
    metrics: Metrics
    instance: str
    token: str = ""
    strict: bool = False


def create_app(parts: Parts) -> Flask:
    """The WSGI application."""
    app = Flask("proxy_api", static_folder=None, template_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the order of the keys is part of the contract
    app.config.update(MAX_CONTENT_LENGTH=MAX_BODY_BYTES, MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES, MAX_FORM_PARTS=10_000)
    app.url_map.strict_slashes = False
    app.register_blueprint(_routes(parts))
    app.register_error_handler(HTTPException, _http_fault)
    app.register_error_handler(ProxyError, _refused)
    app.register_error_handler(Exception, _defect)
    return app


def _routes(parts: Parts) -> Blueprint:
    api = Blueprint("api", __name__)
    places, looks = threading.BoundedSemaphore(MAX_WAITING), threading.BoundedSemaphore(MAX_DRY_RUNS)

    @contextlib.contextmanager
    def place(free: threading.BoundedSemaphore, full: str) -> Iterator[None]:
        if not free.acquire(blocking=False):
            raise Unavailable(f"{full} are waiting already; nothing was changed, ask again")
        try:
            yield
        finally:
            free.release()

    def answered(given: Given, asked: requests.Request | requests.Removal, service: str,
                 spec: ServiceSpec | None) -> answers.Json:
        dry_run = asked.steering.dry_run
        with place(looks, f"{MAX_DRY_RUNS} dry runs") if dry_run else contextlib.nullcontext():
            try:
                with place(places, f"{MAX_WAITING} changes"):
                    outcome = parts.change(service, spec, dry_run)
            except ProxyError as fault:
                # The predecessor's listeners repeat for minutes what is answered with an error. Who only looks is told.
                if fault.status == UnknownService.status and not (dry_run or asked.steering.strict or parts.strict):
                    return answers.not_there(given, fault, asked.warnings, asked.steering.distribute)
                raise
            return answers.changed(given, outcome, asked.warnings, asked.steering.distribute)

    @api.route(f"{PREFIX}/reconfigure", methods=["GET", "POST"], provide_automatic_options=False)
    def reconfigure() -> tuple[Response, int]:
        def change(given: Given) -> answers.Json:
            asked = requests.parse_request(given, parts.strict)
            return answered(given, asked, asked.spec.name, asked.spec)
        return _changing(parts, "reconfigure", change)

    @api.route(f"{PREFIX}/remove", methods=["GET", "POST"], provide_automatic_options=False)
    def remove() -> tuple[Response, int]:
        def change(given: Given) -> answers.Json:
            asked = requests.parse_removal(given, parts.strict)
            return answered(given, asked, asked.service, None)
        return _changing(parts, "remove", change)

    @api.get(f"{PREFIX}/ping")
    @api.get("/v1/test")
    def ping() -> tuple[Response, int]:
        return jsonify(answers.answer({}, "OK", "")), 200

    @api.get("/ready")
    def ready() -> tuple[Response, int]:
        try:
            report = parts.report(False)
        except Unavailable as fault:
            report = Report(str(fault))
        reason = report.reason or parts.fault(report)
        return jsonify(answers.ready(report, reason)), 503 if reason else 200

    @api.get(f"{PREFIX}/state")
    def state() -> tuple[Response, int]:
        text = in_steps(answers.state(parts.instance, parts.report(True)), 2)
        return Response(f"{text}\n", content_type="application/json"), 200

    @api.get("/metrics")
    def metrics() -> Response:
        try:
            report = parts.report(True)
        except Unavailable:
            report = None
        return Response(parts.metrics.text(report), content_type=parts.metrics.content_type)

    return api


Given = Mapping[str, Sequence[str]]


def in_steps(value: object, depth: int) -> str:
    """JSON as Flask writes it, the members of so many levels one by one: a long text made in one step would let no
    other thread compute meanwhile.
    """
    if depth and isinstance(value, dict):
        members = (f"{json.dumps(name)}:{in_steps(member, depth - 1)}" for name, member in value.items())
        return "{" + ",".join(members) + "}"
    return json.dumps(value, separators=(",", ":"))


def _changing(parts: Parts, call: str, change: Callable[[Given], answers.Json]) -> tuple[Response, int]:
    if request.method == "HEAD":
        raise MethodNotAllowed(["GET", "POST"])  # Flask takes HEAD wherever it takes GET, and a look changes nothing
    given: Given = {}
    try:
        _authorize(parts.token)
        given = _parameters()
        if requests.asks_for_dry_run(given):
            call = f"{call}-dry-run"
        body = change(given)
    except ProxyError as fault:
        parts.metrics.count(call, fault.status)
        log.warning("event=refused call=%s service=%s status=%d reason=%s", call, _named(given), fault.status, fault)
        return jsonify(answers.failed(given, fault)), fault.status
    parts.metrics.count(call, 200)
    log.info("event=done call=%s service=%s change=%s version=%s servers=%s", call, _named(given), body["Change"],
             body["Version"], body["Servers"])
    return jsonify(body), 200


def _authorize(token: str) -> None:
    if not token:
        return
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    # A header comes as Latin-1, whatever its bytes are.
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode("latin-1", "replace"),
                                                            token.encode()):
        raise Unauthorized("this call changes something and needs the header 'Authorization: Bearer <API_TOKEN>'")


def _parameters() -> Given:
    """Parameters of the query and of a form, names and values as given."""
    given: dict[str, list[str]] = {}
    for source in (request.args, request.form):
        for name, values in source.lists():
            given.setdefault(name, []).extend(values)
    if request.method == "POST" and request.content_length and not request.form and not request.args:
        raise InvalidRequest((Fault("body", "is not a form", "send parameters in the query or as "
                                    "application/x-www-form-urlencoded"),))
    return given


def _named(given: Given) -> str:
    return (given.get("serviceName") or ["-"])[0][:64]


def _http_fault(fault: HTTPException) -> tuple[Response, int]:
    """404, 405, 413 and their like, as JSON with the keys that every answer has."""
    text = {404: "there is nothing here", 405: "this call does not take that method"}.get(
        fault.code or 500, fault.description or fault.name)
    return jsonify(answers.answer({}, "NOK", text)), fault.code or 500


def _refused(fault: ProxyError) -> tuple[Response, int]:
    return jsonify(answers.failed({}, fault)), fault.status


def _defect(fault: Exception) -> tuple[Response, int]:
    log.exception("event=defect")
    return jsonify(answers.answer({}, "NOK", f"internal error: {type(fault).__name__}")), 500
