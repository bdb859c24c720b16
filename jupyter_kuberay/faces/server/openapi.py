"""The REST interface's description, OpenAPI 3.1, made of the same table and models that answer. Pure."""

from __future__ import annotations

import re
from typing import Any

from pydantic.json_schema import models_json_schema

from jupyter_kuberay import __version__
from jupyter_kuberay.faces.server import bodies
from jupyter_kuberay.faces.server.routes import OPERATIONS, PREFIX, Operation

_REF = "#/components/schemas/{model}"


def description() -> dict[str, Any]:
    """The whole document, as plain JSON."""
    names = {re.sub(r"\[]$", "", name) for each in OPERATIONS for name in (each.body, each.answer) if name} | {"Problem"}
    bodies_asked = {each.body for each in OPERATIONS if each.body}
    models: list[Any] = [(getattr(bodies, name), "validation" if name in bodies_asked else "serialization") for name in sorted(names)]
    _, schemas = models_json_schema(models, ref_template=_REF)
    paths: dict[str, Any] = {}
    for each in OPERATIONS:
        paths.setdefault(f"/{PREFIX}{each.path}", {})[each.method] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "jupyter-kuberay",
            "version": __version__,
            "description": "Ray clusters, services and jobs of the user of a Jupyter server. Authenticated as Jupyter's own API is.",
        },
        "paths": paths,
        "components": {"schemas": schemas["$defs"]},
    }


def _operation(each: Operation) -> dict[str, Any]:
    told: dict[str, Any] = {"operationId": each.name, "summary": each.says, "tags": [each.resource.partition(":")[2]]}
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in each.parameters]
    parameters += [
        {"name": query.name, "in": "query", "description": query.says, "schema": {"type": query.type, "default": query.default}}
        for query in each.query
    ]
    if parameters:
        told["parameters"] = parameters
    if each.body:
        told["requestBody"] = {"required": True, "content": _json(_REF.format(model=each.body))}
    told["responses"] = {
        str(each.status): {"description": each.says} | ({"content": _answer(each)} if each.status != 204 else {}),
        "default": {"description": "What stands in the way, and what to do about it.", "content": _json(_REF.format(model="Problem"))},
    }
    return told


def _answer(each: Operation) -> dict[str, Any]:
    if each.lines:
        return {each.lines: {"schema": {"type": "string"}}}
    if each.answer.endswith("[]"):
        items = {"$ref": _REF.format(model=each.answer.removesuffix("[]"))}
        return {"application/json": {"schema": {"type": "array", "items": items}}}
    return _json(_REF.format(model=each.answer)) if each.answer else {"application/json": {"schema": {"type": "object"}}}


def _json(reference: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": reference}}}
