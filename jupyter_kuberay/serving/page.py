"""What an application says of itself: an OpenAPI document, and a page to try it on. Neither asks another host for anything."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from typing import Any

from jupyter_kuberay.serving.requests import ID, TIMEOUT
from jupyter_kuberay.serving.settings import Settings

# The page's own script and style, and requests to where it came from.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; form-action 'none'; base-uri 'none'"
)


@dataclass(frozen=True)
class Described:
    """An application: the last part of its path, a line about it, a text to try, and the JSON schema of the answer for one text."""

    path: str
    title: str
    sample: str
    answer: dict[str, Any]


def openapi(of: Described, settings: Settings) -> dict[str, Any]:
    """The OpenAPI 3.1 document of an application with these settings."""
    text = {"type": "string", "minLength": 1, "examples": [of.sample]}
    texts = {"type": "array", "items": text, "minItems": 1, "maxItems": settings.max_texts}
    asked = {"type": "object", "properties": {"texts": texts}, "required": ["texts"]}
    query = {"name": "text", "in": "query", "required": True, "schema": text}
    both = [
        {
            "name": TIMEOUT,
            "in": "header",
            "description": "Seconds that the client waits.",
            "schema": {"type": "number", "exclusiveMinimum": 0},
        },
        {"name": ID, "in": "header", "description": "The client's id of its request; it comes back.", "schema": {"type": "string"}},
    ]
    one = {"summary": f"{of.title}: one text", "parameters": [query, *both], "responses": _responses(of.answer, "The answer.")}
    many = {
        "summary": f"{of.title}: several texts",
        "parameters": both,
        "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
        "responses": _responses({"type": "array", "items": of.answer}, "The answers, in the order of the texts."),
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": of.title, "version": str(settings.revision)},
        "servers": [{"url": "."}],
        "paths": {f"/{of.path}": {"get": {**one, "operationId": f"{of.path}_one"}, "post": {**many, "operationId": f"{of.path}_several"}}},
        "components": {"schemas": {"Refusal": _REFUSAL}},
    }


_REFUSAL = {
    "type": "object",
    "properties": {"message": {"type": "string"}, "hint": {"type": "string"}},
    "required": ["message", "hint"],
}
_REFUSALS = {
    "400": "It is not UTF-8, not JSON, or a header is wrong.",
    "408": "It did not come whole in time.",
    "413": "It is too large.",
    "422": "There is no text, an empty one, or too many.",
    "429": "The service has too much to do; Retry-After says when to ask again.",
    "500": "The model failed.",
    "503": "No model is set.",
    "504": "There was no answer in time.",
}


def _responses(schema: dict[str, Any], description: str) -> dict[str, Any]:
    headers = {"x-revision": {"description": "The revision that answered.", "schema": {"type": "string"}}}
    refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    found = {"200": {"description": description, "headers": headers, "content": {"application/json": {"schema": schema}}}}
    return found | {status: {"description": what, "content": refusal} for status, what in _REFUSALS.items()}


def page(of: Described, settings: Settings) -> str:
    """An HTML page: what can be asked, what is limited, and a form that asks."""
    limits = {
        "texts in one request": f"{settings.max_texts:,}",
        "bytes in one request": f"{settings.max_bytes:,}",
        "seconds for one request": f"{settings.timeout_s:g}",
        "revision": str(settings.revision),
    }
    rows = "".join(f"<tr><th scope=row>{html.escape(name)}<td>{html.escape(value)}" for name, value in limits.items())
    values = {"TITLE": of.title, "PATH": of.path, "SAMPLE": of.sample}
    found = _PAGE.replace("{ROWS}", rows).replace("{SCRIPT}", _SCRIPT.replace("{PATH}", json.dumps(of.path)))
    for name, value in values.items():
        found = found.replace(f"{{{name}}}", html.escape(value))
    return found


_SCRIPT = """
const form = document.querySelector("form"), out = document.querySelector("output");
form.addEventListener("submit", async event => {
  event.preventDefault();
  out.textContent = "…";
  const began = performance.now();
  try {
    const body = JSON.stringify({ texts: [form.text.value] });
    const answer = await fetch({PATH}, { method: "POST", headers: { "content-type": "application/json" }, body });
    const found = JSON.stringify(await answer.json(), null, 2);
    out.textContent = found + "\\n\\n" + answer.status + ", " + Math.round(performance.now() - began) + " ms";
  } catch (error) { out.textContent = String(error); }
});
"""

_PAGE = """<!doctype html>
<html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width"><title>{TITLE}</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
textarea { width: 100%; min-height: 8rem; font: inherit; box-sizing: border-box; }
button { font: inherit; padding: .3rem 1rem; margin: .5rem 0; }
output, pre { display: block; white-space: pre-wrap; overflow-wrap: anywhere; font: 14px/1.5 ui-monospace, monospace; }
th { text-align: left; font-weight: normal; padding-right: 1.5rem; }
</style>
<h1>{TITLE}</h1>
<form><label>Text<textarea name=text required>{SAMPLE}</textarea></label><button>Ask</button></form>
<output aria-live=polite></output>
<h2>How to ask</h2>
<pre>GET  {PATH}?text=…                 one answer, as JSON
POST {PATH} {"texts": ["…", "…"]}   a list of answers</pre>
<table>{ROWS}</table>
<p>All of it, for programs: <a href=openapi.json>openapi.json</a>.
<script>{SCRIPT}</script>
</html>
"""
