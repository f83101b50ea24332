"""The one check of a service, from CHECK_… keys."""

import pytest

from registrar.core.checks import Target, check_of
from registrar.core.metadata import read_metadata

# title: (keys without SERVICE_, the definition, the keys that are reported)
CASES = {
    "no key, no check": ({}, {}, []),
    "http": ({"CHECK_HTTP": "/health"}, {"HTTP": "http://10.0.0.5:80/health", "Interval": "10s"}, []),
    "https": ({"CHECK_HTTPS": "/"}, {"HTTP": "https://10.0.0.5:80/", "Interval": "10s"}, []),
    "tcp": ({"CHECK_TCP": "true"}, {"TCP": "10.0.0.5:80", "Interval": "10s"}, []),
    "tcp, any word that is not a no": ({"CHECK_TCP": "please"}, {"TCP": "10.0.0.5:80", "Interval": "10s"}, []),
    "tcp, no": ({"CHECK_TCP": "false"}, {}, []),
    "ttl has no interval": ({"CHECK_TTL": "30s", "CHECK_INTERVAL": "5s"}, {"TTL": "30s"}, []),
    "all the others": (
        {"CHECK_HTTP": "h", "CHECK_HTTP_METHOD": "head", "CHECK_INTERVAL": "15s", "CHECK_TIMEOUT": "1m30s",
         "CHECK_INITIAL_STATUS": "Passing", "CHECK_DEREGISTER_AFTER": "10m"},
        {"HTTP": "http://10.0.0.5:80/h", "Method": "HEAD", "Interval": "15s", "Timeout": "1m30s", "Status": "passing",
         "DeregisterCriticalServiceAfter": "10m"}, []),
    "the first kind counts": (
        {"CHECK_HTTP": "/", "CHECK_TCP": "1"}, {"HTTP": "http://10.0.0.5:80/", "Interval": "10s"},
        ["SERVICE_CHECK_TCP"]),
    "a bare number is no duration: Consul would refuse the service": (
        {"CHECK_TCP": "1", "CHECK_INTERVAL": "15", "CHECK_TIMEOUT": "-1s", "CHECK_DEREGISTER_AFTER": "soon"},
        {"TCP": "10.0.0.5:80", "Interval": "10s"},
        ["SERVICE_CHECK_INTERVAL", "SERVICE_CHECK_TIMEOUT", "SERVICE_CHECK_DEREGISTER_AFTER"]),
    "zero is none either": (
        {"CHECK_TCP": "1", "CHECK_INTERVAL": "0s"}, {"TCP": "10.0.0.5:80", "Interval": "10s"},
        ["SERVICE_CHECK_INTERVAL"]),
    "a bad ttl": ({"CHECK_TTL": "x"}, {}, ["SERVICE_CHECK_TTL"]),
    "a bad status and method": (
        {"CHECK_HTTP": "/", "CHECK_INITIAL_STATUS": "good", "CHECK_HTTP_METHOD": "G T"},
        {"HTTP": "http://10.0.0.5:80/", "Interval": "10s"},
        ["SERVICE_CHECK_INITIAL_STATUS", "SERVICE_CHECK_HTTP_METHOD"]),
    "a path with blanks": ({"CHECK_HTTP": "/a b"}, {}, ["SERVICE_CHECK_HTTP"]),
    "a path that is none": ({"CHECK_HTTP": "/100%"}, {}, ["SERVICE_CHECK_HTTP"]),
    "a URL of the service by the port that is exposed": (
        {"CHECK_HTTP": "http://localhost:8080/health?full=1"},
        {"HTTP": "http://10.0.0.5:80/health?full=1", "Interval": "10s"}, ["SERVICE_CHECK_HTTP"]),
    "a URL of the service by its address": (
        {"CHECK_HTTPS": "HTTPS://10.0.0.5:80"}, {"HTTP": "https://10.0.0.5:80/", "Interval": "10s"},
        ["SERVICE_CHECK_HTTPS"]),
    "an address without a scheme": (
        {"CHECK_HTTP": "127.0.0.1:8080/x"}, {"HTTP": "http://10.0.0.5:80/x", "Interval": "10s"},
        ["SERVICE_CHECK_HTTP"]),
    "a URL as a script has it": (
        {"CHECK_HTTP": "http://$SERVICE_IP:$SERVICE_PORT/x"}, {"HTTP": "http://10.0.0.5:80/x", "Interval": "10s"},
        ["SERVICE_CHECK_HTTP"]),
    "a URL with another host": ({"CHECK_HTTP": "http://example.org/health"}, {}, ["SERVICE_CHECK_HTTP"]),
    "a URL with another port": ({"CHECK_HTTP": "http://localhost:9000/"}, {}, ["SERVICE_CHECK_HTTP"]),
    "a URL with the other scheme": ({"CHECK_HTTP": "https://localhost/"}, {}, ["SERVICE_CHECK_HTTP"]),
    "a path with a URL in it is a path": (
        {"CHECK_HTTP": "/go?to=http://x/"}, {"HTTP": "http://10.0.0.5:80/go?to=http://x/", "Interval": "10s"}, []),
    "an address where a yes is wanted": (
        {"CHECK_TCP": "localhost:9000"}, {"TCP": "10.0.0.5:80", "Interval": "10s"}, ["SERVICE_CHECK_TCP"]),
    "a port where a yes is wanted": (
        {"CHECK_GRPC": "9000"}, {"GRPC": "10.0.0.5:80", "Interval": "10s"}, ["SERVICE_CHECK_GRPC"]),
    "durations that Consul takes for others, or for none": (
        {"CHECK_TCP": "1", "CHECK_INTERVAL": "0.1ns", "CHECK_TIMEOUT": "99999999h", "CHECK_DEREGISTER_AFTER": "5s"},
        {"TCP": "10.0.0.5:80", "Interval": "10s", "DeregisterCriticalServiceAfter": "5s"},
        ["SERVICE_CHECK_INTERVAL", "SERVICE_CHECK_TIMEOUT", "SERVICE_CHECK_DEREGISTER_AFTER"]),
    "a key that there is not": ({"CHECK_HTPP": "/"}, {}, ["SERVICE_CHECK_HTPP"]),
    "what changes a check that nobody asked for": ({"CHECK_INTERVAL": "5s"}, {}, ["SERVICE_CHECK_INTERVAL"]),
    "a script goes through a shell, with address and port put in": (
        {"CHECK_SCRIPT": "curl $SERVICE_IP:$SERVICE_PORT/x | grep ok", "CHECK_TIMEOUT": "2s"},
        {"Args": ("/bin/sh", "-c", "curl 10.0.0.5:80/x | grep ok"), "Interval": "10s", "Timeout": "2s"}, []),
    "cmd is for Registrator's helper": (
        {"CHECK_CMD": "/check.sh -v"},
        {"Args": ("/bin/sh", "-c", "check-cmd cccccccccccc 8080 /check.sh -v"), "Interval": "10s"}, []),
    "grpc": ({"CHECK_GRPC": "yes"}, {"GRPC": "10.0.0.5:80", "Interval": "10s"}, []),
    "grpc, no": ({"CHECK_GRPC": "no"}, {}, []),
    "grpc over TLS": (
        {"CHECK_GRPC": "1", "CHECK_GRPC_USE_TLS": "true", "CHECK_TLS_SKIP_VERIFY": "1"},
        {"GRPC": "10.0.0.5:80", "GRPCUseTLS": True, "TLSSkipVerify": True, "Interval": "10s"}, []),
    "grpc without TLS verifies nothing": (
        {"CHECK_GRPC": "1", "CHECK_GRPC_USE_TLS": "no", "CHECK_TLS_SKIP_VERIFY": "1"},
        {"GRPC": "10.0.0.5:80", "Interval": "10s"}, []),
    "https with a certificate of its own and headers": (
        {"CHECK_HTTPS": "/", "CHECK_TLS_SKIP_VERIFY": "yes", "CHECK_HEADER": r"Host: a.example, X-A: 1\, 2, X-A: 3"},
        {"HTTP": "https://10.0.0.5:80/", "TLSSkipVerify": True, "Interval": "10s",
         "Header": (("Host", ("a.example",)), ("X-A", ("1, 2", "3")))}, []),
    "headers that are none": (
        {"CHECK_HTTP": "/", "CHECK_HEADER": "no colon, A: 1, B:"},
        {"HTTP": "http://10.0.0.5:80/", "Header": (("A", ("1",)),), "Interval": "10s"}, ["SERVICE_CHECK_HEADER"] * 2),
    "a switch that is neither yes nor no is a yes, as in Registrator, and reported": (
        {"CHECK_GRPC": "1", "CHECK_GRPC_USE_TLS": "please"},
        {"GRPC": "10.0.0.5:80", "GRPCUseTLS": True, "Interval": "10s"}, ["SERVICE_CHECK_GRPC_USE_TLS"]),
    "Registrator's order": (
        {"CHECK_GRPC": "1", "CHECK_TCP": "1", "CHECK_TTL": "9s", "CHECK_SCRIPT": "x"},
        {"Args": ("/bin/sh", "-c", "x"), "Interval": "10s"},
        ["SERVICE_CHECK_TTL", "SERVICE_CHECK_TCP", "SERVICE_CHECK_GRPC"]),
}


@pytest.mark.parametrize(("env", "expected", "reported"), CASES.values(), ids=CASES)
def test_check(env, expected, reported):
    faults = []
    keys = read_metadata([(f"SERVICE_{k}", v) for k, v in env.items()], []).for_port(80, "tcp")
    check = check_of(keys, Target("10.0.0.5", 80, "c" * 64, 8080), lambda entry, rule: faults.append(entry.spelling))
    assert dict(check) == expected
    assert sorted(faults) == sorted(reported)


def test_an_ipv6_address_is_bracketed():
    keys = read_metadata([("SERVICE_CHECK_TCP", "1")], []).for_port(80, "tcp")
    assert dict(check_of(keys, Target("fd00::5", 80), lambda *_: None))["TCP"] == "[fd00::5]:80"
