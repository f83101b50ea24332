"""The go-demo stand-in: an image of 2 MB built on this machine, as no image registry is needed or asked.

It is one static busybox and the two scripts in deploy/go-demo.

    python -m deploy.go_demo [TAG...]    builds portbook/go-demo:latest, and tags it so as well
"""

from __future__ import annotations

import hashlib
import io
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

import docker
from docker.errors import ImageNotFound

IMAGE = "portbook/go-demo:latest"
SCRIPTS = Path(__file__).resolve().parent / "go-demo"
APPLETS = ("sh", "cat", "head", "hostname", "kill", "ls", "nc", "ps", "sleep", "usleep", "wget")
LABEL = "portbook.content"
CHANGES = ("EXPOSE 8080", 'ENTRYPOINT ["/go-demo/serve"]', "ENV PATH=/bin")


def build(*tags: str, host: str = "", image: str = IMAGE) -> str:
    """Makes sure that the image is there with today's content and has these tags too; returns its name.

    `host` is another engine's address than the usual one, `image` another name.
    """
    client: Any = docker.DockerClient(base_url=host, timeout=60) if host else docker.from_env(timeout=60)
    try:
        content = _root_filesystem()
        digest = hashlib.sha256(content + "\n".join(CHANGES).encode()).hexdigest()
        if _digest_of(client, image) != digest:
            repository, _, tag = image.partition(":")
            client.api.import_image_from_data(
                content, repository=repository, tag=tag, changes=[*CHANGES, f"LABEL {LABEL}={digest}"]
            )
            if _digest_of(client, image) != digest:
                raise RuntimeError(f"the Docker engine did not import {image}")
        for name in tags:
            repository, _, tag = name.partition(":")
            client.api.tag(image, repository, tag or "latest", force=True)
    finally:
        client.close()
    return image


def _digest_of(client: Any, image: str) -> str | None:
    try:
        config = client.api.inspect_image(image)["Config"]
    except ImageNotFound:
        return None
    return (config.get("Labels") or {}).get(LABEL)


def _root_filesystem() -> bytes:
    """A tar archive whose bytes depend on its content only, so that its digest says whether to build."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise FileNotFoundError("there is no busybox here; run: make install")
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for folder in ("bin", "go-demo"):
            archive.addfile(_entry(folder, tarfile.DIRTYPE))
        _add_file(archive, "bin/busybox", Path(busybox))
        for applet in APPLETS:
            link = _entry(f"bin/{applet}", tarfile.SYMTYPE)
            link.linkname = "busybox"
            archive.addfile(link)
        for script in ("answer", "serve"):
            _add_file(archive, f"go-demo/{script}", SCRIPTS / script)
    return output.getvalue()


def _add_file(archive: tarfile.TarFile, name: str, source: Path) -> None:
    data = source.read_bytes()
    entry = _entry(name, tarfile.REGTYPE)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def _entry(name: str, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = kind
    entry.mode = 0o755
    return entry


if __name__ == "__main__":
    print(build(*sys.argv[1:]))
