"""What the engine's failures become: unknown, unknown for one container, or gone. A small HTTP server plays engine."""

import json
import re
import socket
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deploy.local import free_port, loopback_address
from engine import docker_engine
from engine.container import from_inspect
from engine.docker_engine import DockerEngine
from engine.errors import EngineUnavailable, SwarmUnavailable, Unreadable
from engine.events import Event
from engine.swarm import SwarmService
from tests.registrar.documents import document

VERSION = {"ApiVersion": "1.41", "MinAPIVersion": "1.12"}


class SocketServer(ThreadingHTTPServer):
    """An HTTP server at a path."""

    address_family = socket.AF_UNIX
    server_bind = socketserver.TCPServer.server_bind


class Engine:
    """Answers by path; a number is a status, None is silence. At a socket, or on a port where no path is given."""

    def __init__(self, path=None):
        self.answers, self.asked = {"/version": VERSION, "/_ping": "OK"}, []
        self.versions = []
        engine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.close_connection = True
                version, path = re.fullmatch(r"(?:/v([\d.]+))?(/.*)", self.path.partition("?")[0]).groups()
                engine.versions.append(version)
                engine.asked.append(path)
                answer = engine.answers.get(path, 404)
                if answer is None:
                    time.sleep(1.5)
                    return
                status, body = (answer, {"message": "so it is"}) if isinstance(answer, int) else (200, answer)
                if isinstance(answer, tuple):
                    status, body = answer
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                if path == "/services" and isinstance(body, list):
                    body = json.dumps(body).encode()
                if isinstance(body, list):
                    self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                if isinstance(body, list):
                    lines = [json.dumps(item).encode() + b"\n" for item in body]
                    self.wfile.write(b"".join(b"%x\r\n%b\r\n" % (len(x), x) for x in [*lines, b""]))
                else:
                    self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

            def log_message(self, *args):
                pass

        if path:
            self._server = SocketServer(str(path), Handler)
            self.environ = {"DOCKER_HOST": f"unix://{path}"}
        else:
            host = loopback_address()
            self._server = ThreadingHTTPServer((host, free_port(host)), Handler)
            self.environ = {"DOCKER_HOST": f"tcp://{host}:{self._server.server_port}"}
        self._server.daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(params=["port", "socket"])
def engine(monkeypatch, request, tmp_path):
    monkeypatch.setattr(docker_engine, "TIMEOUT_S", 0.3)
    with Engine(tmp_path / "docker.sock" if request.param == "socket" else None) as running:
        yield running


@pytest.fixture
def source(engine):
    made = DockerEngine(engine.environ)
    yield made
    made.close()


def test_a_container_that_is_gone_is_none(engine, source):
    engine.answers["/containers/x/json"] = 404
    assert source.inspect("x") is None


@pytest.mark.parametrize("answer", [500, 409, 403, {"Id": "x"}, None], ids=str)
def test_a_container_that_cannot_be_read_is_unknown_by_itself(engine, source, answer):
    engine.answers["/containers/x/json"] = answer
    with pytest.raises(Unreadable):
        source.inspect("x")
    engine.answers["/containers/y/json"] = document(name="y")
    assert source.inspect("y").name == "y"


def test_an_engine_that_hangs_altogether_is_not_blamed_on_one_container(engine, source):
    engine.answers["/containers/x/json"] = engine.answers["/_ping"] = None
    with pytest.raises(EngineUnavailable):
        source.inspect("x")


def test_many_are_told_one_by_one_in_their_order(engine, source):
    names = [f"c{n}" for n in range(20)]
    for name in names:
        engine.answers[f"/containers/{name}/json"] = document(name=name)
    engine.answers |= {"/containers/c3/json": 404, "/containers/c7/json": 500, "/containers/c9/json": {"Id": "x"},
                       "/containers/c12/json": None}
    found = list(source.inspect_all(names))
    assert [name for name, _ in found] == names
    by_name = dict(found)
    assert by_name.pop("c3") is None
    for name in ("c7", "c9", "c12"):
        fault = by_name.pop(name)
        assert isinstance(fault, Unreadable)
        assert name in str(fault)
    assert {name: container.name for name, container in by_name.items()} == {name: name for name in by_name}


def test_many_of_an_engine_that_hangs_or_goes_away_are_unknown(engine, source):
    names = [f"c{n}" for n in range(20)]
    for name in names[:5]:
        engine.answers[f"/containers/{name}/json"] = document(name=name)
    engine.answers |= {f"/containers/{name}/json": None for name in names[5:]} | {"/_ping": None}
    told = source.inspect_all(names)
    assert [next(told)[0] for _ in range(5)] == names[:5]
    with pytest.raises(EngineUnavailable):
        next(told)
    # What nobody waits for any more is not asked for.
    assert len({path for path in engine.asked if path.startswith("/containers")}) < len(names)


def test_a_name_cannot_lead_to_another_question(engine, source):
    assert source.inspect("../images/x") is None
    assert not any(path.startswith("/images") for path in engine.asked)


@pytest.mark.parametrize("answer", [500, 403, None, b"<html>"], ids=str)
def test_a_listing_that_fails_is_never_an_empty_one(engine, source, answer):
    engine.answers["/containers/json"] = answer
    with pytest.raises(EngineUnavailable):
        source.running(())


def test_an_image_that_may_not_be_asked_for_costs_only_its_name(engine, source):
    engine.answers["/containers/x/json"] = document(name="x", image="sha256:" + "ab" * 32)
    engine.answers["/images/sha256:" + "ab" * 32 + "/json"] = 403
    assert source.inspect("x").image_tags == ()


def test_events_name_containers_and_the_end_of_the_stream_is_said(engine, source):
    events = [{"Type": "container", "Action": "start", "Actor": {"ID": "a", "Attributes": {"name": "x"}}},
              {"Type": "network", "Action": "connect", "Actor": {"ID": "n", "Attributes": {"container": "b"}}},
              {"Type": "network", "Action": "destroy", "Actor": {"ID": "n", "Attributes": {}}},
              {"Type": "container", "Action": "health_status: healthy", "Actor": {"ID": "a", "Attributes": {}}},
              {"Type": "service", "Action": "update", "Actor": {"ID": "s", "Attributes": {"name": "web"}}}]
    engine.answers["/events"] = events
    connected = []
    stream = source.events(lambda: connected.append(1))
    assert [next(stream) for _ in range(4)] == [
        Event("a", event="start"), Event("b", network=True, event="connect"),
        Event("a", event="health_status"), Event("", event="update")] and connected
    with pytest.raises(EngineUnavailable, match="ended"):
        next(stream)


def test_a_refused_stream_is_no_stream(engine, source):
    engine.answers["/events"] = 403
    connected = []
    with pytest.raises(EngineUnavailable):
        list(source.events(lambda: connected.append(1)))
    assert not connected


@pytest.mark.parametrize(("newest", "oldest", "spoken"), [
    ("1.41", "1.12", "1.41"), ("1.38", "1.12", "1.38"), ("1.51", "1.24", "1.41"), ("1.52", "1.44", "1.44"),
    ("2.0", "1.100", "1.100")])
def test_the_version_of_the_api_that_is_spoken(newest, oldest, spoken):
    with Engine() as engine:
        engine.answers |= {"/version": {"ApiVersion": newest, "MinAPIVersion": oldest}, "/info": {"Name": "n1"}}
        source = DockerEngine(engine.environ)
        assert source.engine_name() == "n1" and engine.versions == [None, spoken]
        source.close()


def test_a_version_may_be_asked_for():
    with Engine() as engine:
        engine.answers |= {"/info": {"Name": "n1"}}
        source = DockerEngine(engine.environ | {"DOCKER_API_VERSION": "1.30"})
        assert source.engine_name() == "n1" and engine.versions == ["1.30"]
        source.close()


SERVICE = {"ID": "s1", "Spec": {"Labels": {"a": "b"}}, "Endpoint": {"Ports": [
    {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8000, "PublishMode": "ingress"}]}}
NO_MANAGER = {"message": "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state"}
LOST = {"message": "rpc error: code = Unknown desc = The swarm does not have a leader."}


@pytest.mark.parametrize(("answer", "known"), [
    ([SERVICE], {"s1": SwarmService("s1", (("a", "b"),), ((80, "tcp", 8000),))}),
    ([], {}),
    (403, None),  # a socket proxy that allows less
    (404, None),
    ((503, NO_MANAGER), None),
])
def test_services_of_the_swarm_as_far_as_the_engine_tells(engine, source, answer, known):
    engine.answers["/services"] = answer
    assert source.swarm_services() == known


@pytest.mark.parametrize("answer", [(500, LOST), (503, LOST), 500])
def test_a_swarm_that_cannot_say_is_not_one_without_services(engine, source, answer):
    engine.answers["/services"] = answer
    with pytest.raises(SwarmUnavailable, match="the swarm does not answer"):
        source.swarm_services()


@pytest.mark.parametrize(("info", "address"), [
    ({"Swarm": {"NodeAddr": "10.0.0.7"}}, "10.0.0.7"), ({"Swarm": {"NodeAddr": ""}}, ""), ({}, "")])
def test_the_address_that_a_swarm_knows_a_node_by(engine, source, info, address):
    engine.answers["/info"] = info
    assert source.swarm_address() == address


# As podman 4.3.1 and Docker 20.10.24 say it.
PODMAN = {"Components": [{"Name": "Podman Engine", "Version": "4.3.1"}, {"Name": "Conmon", "Version": "2.1.6"}]}
DOCKER = {"Components": [{"Name": "Engine", "Version": "20.10.24"}, {"Name": "containerd", "Version": "1.6.20"}]}


@pytest.mark.parametrize(("version", "tells"), [(PODMAN, False), (DOCKER, True), ({"Version": "1.13"}, True)])
def test_an_engine_is_known_by_its_parts(engine, version, tells):
    engine.answers["/version"] = VERSION | version
    source = DockerEngine(engine.environ)
    assert source.announces_stops() is tells
    source.close()


def test_a_container_that_podman_stops_is_not_taken_for_one_that_serves():
    stopping = {"Status": "stopping", "Running": False, "Paused": False, "Restarting": False, "Dead": False,
                "Pid": 25610, "ExitCode": 0, "StartedAt": "2026-11-27T14:34:46.076440831Z",
                "Health": {"Status": "", "FailingStreak": 0, "Log": None}}
    found = from_inspect(document(state=stopping))
    assert not found.serving and found.health is None
