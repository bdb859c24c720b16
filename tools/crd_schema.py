"""Make tests/data/kuberay-VERSION from the operator's own CRDs: ``python tools/crd_schema.py`` (needs Go, and its module proxy).

The result is JSON Schema (draft 2020-12) of what KubeRay accepts of a RayCluster, RayService and RayJob of ray.io/v1: types, bounds, enums,
patterns, required fields, keys of lists. Without prose and without the CEL rules. What an API server does beside the
CRD is written out: a field that it would drop is a violation, a field with a default need not be given, int32 has its
bounds, and ``metadata`` has the rules for names and labels.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

MODULE = "github.com/ray-project/kuberay/ray-operator"
VERSION = "1.6.1"
# The longest name that the operator takes, as it adds suffixes of its own (utils/validation.go).
KINDS = {"RayCluster": 53, "RayService": 47, "RayJob": 47}

KEPT = ("type", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "x-kubernetes-list-map-keys")
FORMATS = {
    "int32": {"minimum": -(2**31), "maximum": 2**31 - 1},
    "int64": {"minimum": -(2**63), "maximum": 2**63 - 1},
    "date-time": {"format": "date-time"},
}

LABEL = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"
LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}

Schema = dict[str, Any]


def metadata(longest_name: int) -> Schema:
    """What the API server asks of the metadata of what a user creates; no CRD says it."""
    name = {"type": "string", "minLength": 1, "maxLength": longest_name, "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"}
    label = {"type": "string", "maxLength": 63, "pattern": LABEL}
    owner = {key: {"type": "string"} for key in ("apiVersion", "kind", "name", "uid")}
    owners = {"type": "object", "required": [*owner], "additionalProperties": False}
    owners["properties"] = {**owner, "controller": {"type": "boolean"}, "blockOwnerDeletion": {"type": "boolean"}}
    return {
        "type": "object",
        "required": ["name"],
        "additionalProperties": False,
        "properties": {
            "name": name,
            "namespace": {"type": "string", "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
            "labels": {"type": "object", "propertyNames": {"pattern": LABEL_KEY}, "additionalProperties": label},
            "annotations": {**STRINGS, "propertyNames": {"pattern": LABEL_KEY}},
            "ownerReferences": {"type": "array", "items": owners},
            "finalizers": {"type": "array", "items": {"type": "string"}},
            "uid": {"type": "string"},
            "resourceVersion": {"type": "string"},
            "generation": {"type": "integer"},
            "creationTimestamp": {"type": "string", "format": "date-time"},
        },
    }


def structural(crd: Schema) -> Schema:
    """The JSON Schema of a CRD's structural one."""
    made: Schema = {key: crd[key] for key in KEPT if key in crd} | FORMATS.get(crd.get("format", ""), {})
    if crd.get("nullable"):
        made["type"] = [made["type"], "null"]
    if crd.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    if "items" in crd:
        made["items"] = structural(crd["items"])
    if "properties" in crd:
        made["properties"] = {name: structural(of) for name, of in crd["properties"].items()}
        made["additionalProperties"] = bool(crd.get("x-kubernetes-preserve-unknown-fields"))
    if isinstance(crd.get("additionalProperties"), dict):
        made["additionalProperties"] = structural(crd["additionalProperties"])
    needed = [name for name in crd.get("required", []) if "default" not in crd.get("properties", {}).get(name, {})]
    return made | ({"required": needed} if needed else {})


def shared(schema: Schema, at_least: int = 120) -> Schema:
    """The same schema with every part that occurs twice written once, below ``$defs``."""
    times: Counter[str] = Counter()

    def is_schema(part: Schema) -> bool:
        return isinstance(part.get("type"), str | list)  # and not the properties of something that has a "type"

    def key(part: Schema) -> str:
        return hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:8]

    def count(part: Any) -> None:
        if isinstance(part, dict):
            if is_schema(part) and len(json.dumps(part)) >= at_least:
                times[key(part)] += 1
            for value in part.values():
                count(value)

    definitions: Schema = {}

    def refer(part: Any) -> Any:
        if not isinstance(part, dict):
            return part
        inner = {name: refer(value) for name, value in part.items()}
        if is_schema(part) and times[name := key(part)] > 1:
            definitions[name] = inner
            return {"$ref": f"#/$defs/{name}"}
        return inner

    count(schema)
    return refer(schema) | {"$defs": dict(sorted(definitions.items()))}


def of_kind(kind: str, crd: Schema, version: str) -> Schema:
    """The schema of a whole manifest of ``kind``."""
    (v1,) = (served for served in crd["spec"]["versions"] if served["name"] == "v1")
    schema = structural(v1["schema"]["openAPIV3Schema"])
    schema["properties"] |= {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": kind},
        "metadata": metadata(KINDS[kind]),
    }
    schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{kind} of ray.io/v1",
        "x-made-from": f"{MODULE}@v{version}",
        "x-license": "Apache-2.0, The KubeRay authors",
    }
    return head | shared(schema)


def module_folder(version: str) -> Path:
    """Where Go keeps the operator's module, after fetching it if need be."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "go.mod").write_text("module crds\n")
        command = ["go", "mod", "download", "-json", f"{MODULE}@v{version}"]
        told = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    return Path(json.loads(told)["Dir"])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--version", default=VERSION, help="of the KubeRay operator")
    version = arguments.parse_args().version
    bases = module_folder(version) / "config" / "crd" / "bases"
    folder = Path(__file__).parent.parent / "tests" / "data" / f"kuberay-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        crd = yaml.safe_load((bases / f"ray.io_{kind.lower()}s.yaml").read_text())
        file = folder / f"{kind.lower()}.json"
        file.write_text(json.dumps(of_kind(kind, crd, version), separators=(",", ":"), sort_keys=True) + "\n")
        print(f"{file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file.name}: {file.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
