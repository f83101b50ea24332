"""What operators put before the Docker engine, as a real HAProxy: TLS with client certificates, or only some reads."""

import contextlib
import re
import subprocess

from deploy.local import free_port, loopback_address, run

# What a read-only socket proxy lets through that allows listing, inspecting, events, info and version.
ALLOWED = r"^(/v[0-9.]+)?/(_ping|containers/json|containers/[^/]+/json|events|info|version)$"


@contextlib.contextmanager
def front(folder, bind, rules=(), mode="tcp"):
    """HAProxy in `mode` before the engine's socket; gives its process, whose output has a line for each connection."""
    config = folder / "haproxy.cfg"
    config.write_text("\n".join([
        "global", "  log stdout format raw local0",
        "defaults", f"  mode {mode}", "  log global",
        "  timeout connect 5s", "  timeout client 1h", "  timeout server 1h",
        *(["  log-format \"%ST %HM %HPO\""] if mode == "http" else []),
        "frontend engine", f"  bind {bind}", *(f"  {rule}" for rule in rules), "  default_backend engine",
        "backend engine", "  server engine unix@/var/run/docker.sock", ""]))
    with run(["haproxy", "-db", "-f", config], name="engine-front") as process:
        yield process


@contextlib.contextmanager
def read_only(folder):
    """A socket at which everything but reads that registrar needs is answered 403; its DOCKER_HOST and the process."""
    rules = ["http-request deny deny_status 403 unless METH_GET || METH_HEAD",
             f"http-request deny deny_status 403 unless {{ path_reg {ALLOWED} }}"]
    with front(folder, f"unix@{folder}/engine.sock", rules, "http") as process:
        yield f"unix://{folder}/engine.sock", process


def refused(process):
    """The requests that were answered 403, such as GET /services."""
    return {re.sub(r" /v[0-9.]+/", " /", line[4:]) for line in process.output().splitlines() if line.startswith("403 ")}


@contextlib.contextmanager
def tls(folder):
    """TLS that asks for a client's certificate; its DOCKER_HOST. `folder` gets ca.pem, cert.pem and key.pem."""
    host = loopback_address()
    port = free_port(host)
    certify(folder, host)
    bind = f"{host}:{port} ssl crt {folder}/server.pem ca-file {folder}/ca.pem verify required"
    with front(folder, bind):
        yield f"tcp://{host}:{port}"


def certify(folder, host):
    """An authority, the server's certificate for this address, and a client's."""
    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority", "-days", "1")
    for name, extension in (("server", f"subjectAltName=IP:{host}"), ("client", "extendedKeyUsage=clientAuth")):
        (folder / f"{name}.ext").write_text(extension)
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-out", f"{name}.crt", "-days", "1", "-extfile", f"{name}.ext")
    (folder / "server.pem").write_text((folder / "server.crt").read_text() + (folder / "server.key").read_text())
    (folder / "cert.pem").write_text((folder / "client.crt").read_text())
    (folder / "key.pem").write_text((folder / "client.key").read_text())
