"""What of a publication travels: the code as text or at a URI, and the model's address."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyter_kuberay import revision as values
from jupyter_kuberay import source
from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.observation import Json
from jupyter_kuberay.spec import ClusterSpec

_WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".onnx", ".gguf"}
MAXIMUM_SETTINGS = 20_000  # characters of JSON: they travel in a command line, with the code


def packed(app: str, code: str | os.PathLike[str] | bool | None, store: str) -> tuple[source.Source, str, str]:
    """What ``app`` names, the text that carries it, and its digest. Blocks."""
    if isinstance(code, str) and "://" in code:
        content = _read(code)
        return source.of_zip(app, content), code, values.digest(content)
    found = source.find_source(app, code)
    if not found.files:
        return found, "", ""
    content = values.zipped(found.files)
    sha256 = values.digest(content)
    text = values.inline(content)
    if text is None:
        text = _stored(content, sha256, store)
    return found, text, sha256


def _read(uri: str) -> bytes:
    import fsspec

    try:
        with fsspec.open(uri, "rb") as file:
            return bytes(file.read())
    except (OSError, ValueError, ImportError) as error:
        raise InvalidSpec(f"{uri} cannot be read: {error}.", "Check the address, and that you may read it.") from error


def _stored(content: bytes, sha256: str, store: str) -> str:
    if not store:
        size, limit = f"{len(content) // 1024} KiB", f"{values.INLINE_LIMIT * 3 // 4 // 1024} KiB"
        raise InvalidSpec(
            f"The application's code has {size} as a zip; {limit} fit into a service's configuration.",
            "Give code_store, a folder's URI that the cluster can read, or leave out what is no code.",
        )
    import fsspec

    uri = f"{store.rstrip('/')}/{sha256}.zip"
    try:
        filesystem, path = fsspec.core.url_to_fs(uri)
        filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
        if not filesystem.exists(path):
            filesystem.pipe_file(path, content)
    except (OSError, ValueError, ImportError) as error:
        raise InvalidSpec(f"{uri} cannot be written: {error}.", "Check code_store, and that you may write there.") from error
    return uri


def model_uri(model: str, *, shared: Sequence[str]) -> str:
    """A path of this machine as a URI; anything else, such as a hub's name, as it is.

    Parameters
    ----------
    shared
        Folders that the cluster sees at the same path: "/" where it runs on this machine.

    Raises
    ------
    InvalidSpec
        The path is on this machine, and in none of these folders.
    """
    path = os.path.abspath(os.path.expanduser(model))
    if not model or "://" in model or not os.path.exists(path):
        return model
    if not any(Path(path).is_relative_to(folder) for folder in shared):
        where = f"below {' or '.join(sorted(shared))}, which the cluster sees too" if shared else "to a store"
        raise InvalidSpec(
            f"The model {model!r} lies on this machine, where the cluster cannot read it.", f"Copy it {where}, and give its address there."
        )
    return f"file://{path}"


def weight_of(uri: str) -> int:
    """Bytes of the weights at an address that this machine can look at; 0 where it cannot, or nothing is there. Blocks."""
    if not uri.startswith("file://"):
        return 0
    place = Path(uri.removeprefix("file://"))
    try:
        files = [each for each in place.rglob("*") if each.suffix in _WEIGHTS] if place.is_dir() else [place]
        return sum(each.stat().st_size for each in files)
    except OSError:
        return 0


def shared_folders(cluster: ClusterSpec) -> list[str]:
    """Where claims are mounted on every node of a cluster: whoever mounts them at the same path sees the same files."""
    mounts = [{volume.mount_path for volume in pod.volumes if volume.claim} for pod in (cluster.head, *cluster.worker_groups)]
    return sorted(set.intersection(*mounts))


def checked_settings(settings: Mapping[str, Any] | None) -> Json:
    """``settings`` as a service's configuration can carry them, or `InvalidSpec`."""
    for reserved in ("model", "revision"):
        if reserved in (settings or {}):
            raise InvalidSpec(f"settings[{reserved!r}] is not for you to set.", "The model is given by model; revisions are counted.")
    try:
        text = json.dumps(dict(settings or {}))
    except (TypeError, ValueError) as error:
        raise InvalidSpec(f"The settings cannot be written as JSON: {error}.", "Give texts, numbers, lists and mappings.") from None
    if len(text) > MAXIMUM_SETTINGS:
        raise InvalidSpec(f"The settings have {len(text)} characters; {MAXIMUM_SETTINGS} are allowed.", "Put them beside the model.")
    found: Json = json.loads(text)
    return found
