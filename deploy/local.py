"""The real parts on this machine, as tests, demo and bench use them: one import for all of it."""

from deploy.consul_server import ConsulServer, consul_binary
from deploy.container import Container, network
from deploy.net import Reply, free_port, free_ports, http_get, http_request, loopback_address
from deploy.process import ROOT, Process, child_environment, run
from deploy.programs import Answer, ProxyProcess, RegistrarProcess
from deploy.waiting import wait_until

__all__ = [
    "ROOT",
    "Answer",
    "ConsulServer",
    "Container",
    "Process",
    "ProxyProcess",
    "RegistrarProcess",
    "Reply",
    "child_environment",
    "consul_binary",
    "free_port",
    "free_ports",
    "http_get",
    "http_request",
    "loopback_address",
    "network",
    "run",
    "wait_until",
]
