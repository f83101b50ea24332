"""Containers that behave in ways a test needs."""

import threading

import docker

from deploy.local import Container

SECOND = 10**9
PROBE = {"Test": ["CMD-SHELL", "cat /ok"], "Interval": SECOND // 4, "Timeout": 5 * SECOND, "Retries": 2}


class Slow(Container):
    """A go-demo that takes its time to end: it ignores its stop signal, and is killed `grace` seconds later.

    With a `Healthcheck` of PROBE it is healthy as long as the file /ok is there.
    """

    def __init__(self, label, grace=3, env=None, **config):
        env = {"SERVICE_NAME": "web"} if env is None else env
        super().__init__(labels=label, env=env)
        self.remove()
        self.id = self._client.create_container_from_config({
            "Image": "portbook/go-demo:latest", "Labels": label, "Env": [f"{k}={v}" for k, v in env.items()],
            "Entrypoint": ["/bin/sh", "-c",
                           "trap : TERM USR1 HUP; sh /go-demo/serve & while :; do wait; sleep 0.1; done"],
            "ExposedPorts": {"8080/tcp": {}}, "StopTimeout": grace,
            "HostConfig": {"PortBindings": {"8080/tcp": [{}]}}, **config}, name=self.name)["Id"]

    def end(self, grace=None):
        """Begin to stop it, as `docker stop` does; with `grace` as `docker stop -t` does."""
        client = docker.APIClient(version="auto", timeout=60)
        threading.Thread(target=lambda: (client.stop(self.id, grace), client.close()), daemon=True).start()

    def signal(self, name):
        self._client.kill(self.id, name)

    def be(self, healthy):
        command = "echo fine > /ok" if healthy else "busybox rm /ok"
        self._client.exec_start(self._client.exec_create(self.id, ["sh", "-c", command])["Id"])


class Probed(Container):
    """A go-demo with a HEALTHCHECK: healthy as long as the file /ok is there."""

    be = Slow.be

    def __init__(self, label):
        super().__init__(labels=label)
        self.remove()
        self.id = self._client.create_container_from_config({
            "Image": "portbook/go-demo:latest", "Labels": label, "Env": ["SERVICE_NAME=web"],
            "ExposedPorts": {"8080/tcp": {}}, "HostConfig": {"PortBindings": {"8080/tcp": [{}]}},
            "Healthcheck": PROBE}, name=self.name)["Id"]
