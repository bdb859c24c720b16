"""An image in the OCI's layout, as one stream: nothing is written to a disk on the way."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from .places import TestbedError

TYPE = "application/vnd.oci.image"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Layer:
    """A folder of this machine, and the folder that it becomes."""

    source: Path
    target: str = "/"
    exclude: Sequence[str] = ()
    keep_owners: bool = False

    @contextmanager
    def packed(self) -> Iterator[IO[bytes]]:
        """As a tar archive, the same bytes each time."""
        command = ["tar", "-C", str(self.source), "--numeric-owner", "--sort=name", *(f"--exclude={each}" for each in self.exclude)]
        if not self.keep_owners:
            command += ["--owner=0", "--group=0"]
        if inner := self.target.strip("/"):
            command.append(f"--transform=flags=rSh;s,^\\.,{inner},")  # but not what symbolic links point to
        with subprocess.Popen([*command, "-cf", "-", "."], stdout=subprocess.PIPE) as packer:
            assert packer.stdout is not None
            yield packer.stdout
        if packer.returncode:
            raise TestbedError(f"{self.source} could not be packed.")

    def described(self) -> dict[str, Any]:
        digest, size = hashlib.sha256(), 0
        with self.packed() as archive:
            while block := archive.read(_BLOCK):
                digest.update(block)
                size += len(block)
        return {"digest": f"sha256:{digest.hexdigest()}", "size": size}


def write(out: IO[bytes], name: str, layers: Sequence[Layer], config: Mapping[str, Any]) -> None:
    """Write the image called ``name``. Each layer is read twice, because what lies before it tells its digest."""
    described = [layer.described() for layer in layers]
    settings = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in described]},
    }
    with tarfile.open(fileobj=out, mode="w|") as archive:

        def put(document: object, path: str = "") -> dict[str, Any]:
            data = json.dumps(document).encode()
            digest = hashlib.sha256(data).hexdigest()
            _add(archive, path or _blob(digest), len(data), io.BytesIO(data))
            return {"digest": f"sha256:{digest}", "size": len(data)}

        put({"imageLayoutVersion": "1.0.0"}, "oci-layout")
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{TYPE}.manifest.v1+json",
            "config": {"mediaType": f"{TYPE}.config.v1+json", **put(settings)},
            "layers": [{"mediaType": f"{TYPE}.layer.v1.tar", **layer} for layer in described],
        }
        named = {"mediaType": manifest["mediaType"], **put(manifest), "annotations": {"io.containerd.image.name": name}}
        put({"schemaVersion": 2, "manifests": [named]}, "index.json")
        for layer, about in zip(layers, described, strict=True):
            with layer.packed() as packed:
                _add(archive, _blob(about["digest"].removeprefix("sha256:")), about["size"], packed)


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest}"


def _add(archive: tarfile.TarFile, path: str, size: int, content: IO[bytes]) -> None:
    entry = tarfile.TarInfo(path)
    entry.size = size
    archive.addfile(entry, content)
