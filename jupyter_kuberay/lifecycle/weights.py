"""What a model's folder holds, told by its files alone: of what kind it is, whether it has pickles, and its digest.

Nothing here loads a model, so nothing in one can run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

CONFIG = "config.json"
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill")
_SAFE = ".safetensors"
_OF_TRAINERS = ("training_args.bin", "optimizer.pt", "scheduler.pt")  # what transformers' Trainer leaves beside weights; nobody serves it
_SEQ2SEQ = ("ForConditionalGeneration", "EncoderDecoderModel", "MTModel", "ForTextToText")
_DECODERS = ("ForCausalLM", "LMHeadModel")
_CHUNK = 1 << 20


def problem(files: Collection[str], *, allow_pickle: bool = False) -> tuple[str, str] | None:
    """What keeps these files from being a model that may be registered or published: a sentence without subject, and a hint.

    Parameters
    ----------
    files
        Paths relative to the model's folder.
    allow_pickle
        Whether weights may be pickles, which can run anything where they are loaded.
    """
    if CONFIG not in files:
        return f"has no {CONFIG}, so it is no model that transformers can load", "Give the folder that save_pretrained wrote."
    pickles = sorted(name for name in files if name.endswith(PICKLES))
    if pickles and not allow_pickle:
        hint = "Save it with safetensors (save_pretrained does) and delete these, or allow it with allow_pickle=True."
        return f"has pickles ({', '.join(pickles[:3])}), which can run anything where they are loaded", hint
    if not any(name.endswith(_SAFE) for name in files) and not pickles:
        return "has no weights", "Give the folder that save_pretrained wrote, with its safetensors."
    return None


def config(place: str | Path) -> dict[str, Any]:
    """The model's configuration; {} where there is none that can be read."""
    try:
        found = json.loads((Path(place) / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def wrong_kind(given: Mapping[str, Any]) -> str:
    """What the model of a configuration is, where that is nothing that writes summaries; "" where it does, or does not say."""
    names = [str(name) for name in given.get("architectures") or []]
    if not names or any(name.endswith(_SEQ2SEQ) for name in names):
        return ""
    name = names[0]
    if name.endswith("ForSequenceClassification"):
        return f"a classifier ({name})"
    return f"a decoder alone ({name})" if name.endswith(_DECODERS) else f"a {name}"


def files(folder: str | Path) -> dict[str, Path]:
    """The files of a folder by relative path, in order. Hidden ones, and what a Trainer leaves for itself, are nobody's weights."""
    root = Path(folder)
    found = ((path.relative_to(root), path) for path in sorted(root.rglob("*")) if path.is_file())
    weights = ((name, path) for name, path in found if name.name not in _OF_TRAINERS)
    return {name.as_posix(): path for name, path in weights if not any(part.startswith(".") for part in name.parts)}


def digest(content: Mapping[str, Path], *more: str) -> str:
    """SHA-256 over names and contents, in hexadecimal; ``more`` counts, too."""
    whole = hashlib.sha256()
    for text in more:
        whole.update(f"{text}\0".encode())
    for name in sorted(content):
        whole.update(f"{name}\0{file_digest(content[name])}\0".encode())
    return whole.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_CHUNK):
            found.update(part)
    return found.hexdigest()


def not_safetensors(path: Path) -> bool:
    """Whether a file that is called safetensors is none, by its head: its length in 8 bytes, then JSON."""
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) < 9 or head[8:] != b"{" or int.from_bytes(head[:8], "little") > path.stat().st_size
