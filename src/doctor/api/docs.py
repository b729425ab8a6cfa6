"""The documentation that Doctor serves itself: `/openapi.json`, and `/docs` for people.

The page is made from the OpenAPI document and nothing else. It is one file without scripts and without anything from
elsewhere, so it can be read, and saved, where there is no internet.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from html import escape
from typing import Any

from doctor.api.openapi import openapi_document
from doctor.api.operation import Answer, Call, Operation, operation

MOST_DEPTH = 4  # of the fields in a table
METHODS = ("get", "post", "put", "patch", "delete")


class Documentation:
    """Answers with the document and with the page."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._operations: Sequence[Operation] = ()

    def describe(self, operations: Sequence[Operation]) -> None:
        """Take the operations to describe; it is done when somebody asks, since a start should be quick."""
        self._operations = operations

    @cached_property
    def _document(self) -> dict[str, Any]:
        return openapi_document(self._operations, version=self._version)

    @cached_property
    def _page(self) -> str:
        return page_of(self._document)

    @operation(
        "GET",
        "/openapi.json",
        tag="Documentation",
        roles=None,
        answers={200: "The OpenAPI 3.1 document."},
        lenient=True,
    )
    async def openapi(self, call: Call[None, None]) -> Answer[dict[str, Any]]:
        """Describe this API for programs."""
        return Answer(self._document)

    @operation(
        "GET",
        "/docs",
        tag="Documentation",
        roles=None,
        answers={200: "One HTML page."},
        produces="text/html",
        lenient=True,
    )
    async def docs(self, call: Call[None, None]) -> Answer[str]:
        """Describe this API for people."""
        return Answer(self._page, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})


# --- the page ---

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #d9dee5; --paper: #ffffff; --well: #f4f6f9;
  --accent: #0b62a8; --get: #0b62a8; --post: #1d7a3d; --put: #96610a; --patch: #7a4aa0; --delete: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #dfe5ec; --soft: #97a3b3; --line: #2c3541; --paper: #12171e;
  --well: #1a212a; --accent: #6db3f2; --get: #6db3f2; --post: #6cc788; --put: #dfa84d; --patch: #bf93e4;
  --delete: #f28b82; } }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: var(--paper); font: 16px/1.55 system-ui, sans-serif; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
code, pre { font: 0.86em/1.5 ui-monospace, Menlo, Consolas, monospace; }
code { background: var(--well); padding: 0.1em 0.3em; border-radius: 4px; overflow-wrap: anywhere; }
pre { background: var(--well); border: 1px solid var(--line); border-radius: 8px; padding: 0.8em 1em; overflow-x: auto; }
pre code { background: none; padding: 0; overflow-wrap: normal; }
.all { display: grid; grid-template-columns: 19rem minmax(0, 1fr); max-width: 86rem; margin: 0 auto; }
nav { position: sticky; top: 0; align-self: start; max-height: 100vh; overflow-y: auto; padding: 2rem 1.5rem;
  border-right: 1px solid var(--line); font-size: 0.9rem; }
nav h2 { font-size: 0.78rem; margin: 1.4rem 0 0.3rem; color: var(--soft); text-transform: uppercase;
  letter-spacing: 0.06em; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav li { margin: 0.15rem 0; }
main { padding: 2rem 2.5rem 6rem; }
h1 { margin: 0; font-size: 1.9rem; }
h1 small { font-size: 1rem; font-weight: normal; color: var(--soft); }
main h2 { margin: 3rem 0 1rem; padding-bottom: 0.3rem; border-bottom: 2px solid var(--line); }
article { margin: 0 0 1.2rem; padding: 1.1rem 1.3rem; border: 1px solid var(--line); border-radius: 10px; }
article:target { border-color: var(--accent); }
article h3 { margin: 0 0 0.2rem; font-size: 1.05rem; }
article h4 { margin: 1.2rem 0 0.4rem; font-size: 0.8rem; color: var(--soft); text-transform: uppercase;
  letter-spacing: 0.06em; }
.where { margin: 0 0 0.6rem; }
.method { display: inline-block; min-width: 4.2em; font: bold 0.78rem ui-monospace, monospace; }
.get { color: var(--get); } .post { color: var(--post); } .put { color: var(--put); }
.patch { color: var(--patch); } .delete { color: var(--delete); }
table { width: 100%; border-collapse: collapse; font-size: 0.9rem; }
td, th { text-align: left; vertical-align: top; padding: 0.35rem 0.8rem 0.35rem 0; border-top: 1px solid var(--line); }
th { color: var(--soft); font-weight: normal; border-top: none; }
td:first-child { white-space: nowrap; }
td p { margin: 0; }
.kind, .note { color: var(--soft); }
summary { cursor: pointer; color: var(--accent); font-size: 0.9rem; margin: 0.4rem 0; }
@media (max-width: 60rem) { .all { display: block; } main { padding: 1.2rem; } td:first-child { white-space: normal; }
  nav { position: static; max-height: none; border-right: none; border-bottom: 1px solid var(--line); } }
"""

_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def page_of(document: Mapping[str, Any]) -> str:
    """Return the page of an OpenAPI document."""
    info = document["info"]
    title = escape(f"{info['title']} {info['version']}: the API")
    by_tag = {tag["name"]: list(_operations(document, tag["name"])) for tag in document["tags"]}
    return "".join(
        (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<style>{STYLE}</style></head><body><div class="all">',
            f'<nav aria-label="Operations"><a href="#top">{escape(info["title"])}</a>{_contents(by_tag)}</nav>',
            f'<main id="top"><h1>{escape(info["title"])} <small>{escape(info["version"])}</small></h1>',
            _markdown(info["description"]),
            '<p>For programs: <a href="openapi.json">openapi.json</a> (OpenAPI 3.1).</p>',
            *(f"<h2>{escape(tag)}</h2>{''.join(several)}" for tag, several in _articles(by_tag, document)),
            _problems(document),
            "</main></div></body></html>\n",
        )
    )


_Named = tuple[str, str, Mapping[str, Any]]  # method, path, operation


def _operations(document: Mapping[str, Any], tag: str) -> Iterator[_Named]:
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods and tag in methods[method]["tags"]:
                yield method, path, methods[method]


def _contents(by_tag: Mapping[str, Iterable[_Named]]) -> str:
    return "".join(
        f"<h2>{escape(tag)}</h2><ul>"
        + "".join(
            f'<li><a href="#{escape(one["operationId"])}">{_inline(one["summary"])}</a></li>'
            for *_, one in operations
        )
        + "</ul>"
        for tag, operations in by_tag.items()
    )


def _articles(
    by_tag: Mapping[str, Iterable[_Named]], document: Mapping[str, Any]
) -> Iterator[tuple[str, list[str]]]:
    for tag, operations in by_tag.items():
        yield tag, [_article(method, path, one, document) for method, path, one in operations]


def _article(method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    parts = [
        f'<article id="{escape(operation["operationId"])}"><h3>{_inline(operation["summary"])}</h3>',
        f'<p class="where"><span class="method {method}">{method.upper()}</span> <code>{escape(path)}</code></p>',
        _markdown(operation["description"]),
    ]
    if parameters := operation.get("parameters"):
        parts.append("<h4>Parameters</h4>" + _table(_parameter_rows(parameters, document)))
    if request := operation.get("requestBody"):
        parts.append(f"<h4>Request{'' if request['required'] else ' (may be left out)'}</h4>")
        parts += [_shape(kind, content, document) for kind, content in request["content"].items()]
    own = {status: one for status, one in operation["responses"].items() if "$ref" not in one}
    shared = [f'<a href="#problems">{status}</a>' for status in operation["responses"] if status not in own]
    parts.append("<h4>Answers</h4>" + _table(_answer_rows(own)))
    parts.append(f'<p class="note">Problems: {", ".join(shared)}</p>')
    for status, response in operation["responses"].items():
        if int(status) < 400:
            parts += [_shape(kind, one, document) for kind, one in response.get("content", {}).items()]
    parts.append(
        f"<h4>Try it</h4><pre><code>{escape(_curl(method, path, operation, document))}</code></pre></article>"
    )
    return "".join(parts)


def _parameter_rows(
    parameters: Iterable[Mapping[str, Any]], document: Mapping[str, Any]
) -> Iterator[tuple[str, ...]]:
    for one in parameters:
        kind = _kind(one["schema"], document)
        if "default" in one["schema"]:
            kind += f", {json.dumps(one['schema']['default'])} if left out"
        where = "in the path" if one["in"] == "path" else "required" if one["required"] else ""
        yield (
            f"<code>{escape(one['name'])}</code>",
            _noted(kind, where),
            _markdown(one.get("description", "")),
        )


def _answer_rows(responses: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for status, response in responses.items():
        yield f"<code>{status}</code>", _markdown(response["description"])


def _problems(document: Mapping[str, Any]) -> str:
    """Explain once the problems that many operations answer with."""
    found = {
        status: _resolved(response, document)
        for methods in document["paths"].values()
        for operation in methods.values()
        for status, response in operation["responses"].items()
        if "$ref" in response
    }
    kind, content = next(iter(found[min(found)]["content"].items()))
    shape = _shape(kind, content, document)
    return f'<h2 id="problems">Problems</h2>{shape}{_table(_answer_rows(dict(sorted(found.items()))))}'


def _noted(kind: str, note: str) -> str:
    return f'<span class="kind">{escape(kind)}</span>' + (
        f'<br><span class="note">{note}</span>' if note else ""
    )


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    return (
        "<table>"
        + "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
        + "</table>"
    )


def _shape(media_type: str, content: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    schema = content["schema"]
    rows = list(_field_rows(schema, document, "", 0))
    fields = f"<details><summary>Fields</summary>{_table(rows)}</details>" if rows else ""
    example = content.get("example")
    if example is None and "json" in media_type:
        example = _sample(schema, document)
    if example is None:
        return f'<p class="note"><code>{escape(media_type)}</code></p>{fields}'
    written = example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
    return f'<p class="note"><code>{escape(media_type)}</code></p><pre><code>{escape(written)}</code></pre>{fields}'


# --- schemas, for people ---


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    found: Any = document
    for step in schema["$ref"].split("/")[1:]:
        found = found[step]
    return {**found, **{name: value for name, value in schema.items() if name != "$ref"}}


def _variants(schema: Mapping[str, Any], document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what a value can be, without null."""
    several = [_resolved(one, document) for one in schema.get("anyOf", (schema,))]
    return [one for one in several if one.get("type") != "null"]


def _items(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what is in a list: one thing for all, or one for each place."""
    return schema.get("prefixItems") or [schema.get("items") or {}]


def _kind(schema: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """Return a few words for what a value is."""
    schema = _resolved(schema, document)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(one, document) for one in schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(str(one) for one in schema["enum"])
    match schema.get("type"):
        case "array":
            return "list of " + ", ".join(_kind(one, document) for one in _items(schema))
        case "object":
            return "object"
        case None:
            return "anything"
        case kind:
            return {"date-time": "time", "duration": "duration"}.get(schema.get("format", ""), str(kind))


def _field_rows(
    schema: Mapping[str, Any], document: Mapping[str, Any], prefix: str, depth: int
) -> Iterator[tuple[str, ...]]:
    for variant in _variants(_resolved(schema, document), document):
        if variant.get("type") == "array":
            for one in _items(variant):
                yield from _field_rows(one, document, f"{prefix}[]", depth)
        for name, one in variant.get("properties", {}).items():
            path = f"{prefix}.{name}" if prefix else name
            note = "required" if name in variant.get("required", ()) else ""
            # What a type is in general helps less than the name of the field.
            told = _markdown(one.get("description", ""))
            yield f"<code>{escape(path)}</code>", _noted(_kind(one, document), note), told
            if depth < MOST_DEPTH:
                yield from _field_rows(one, document, path, depth + 1)


def _sample(schema: Mapping[str, Any], document: Mapping[str, Any], depth: int = 0) -> Any:
    """Return a value that shows the shape."""
    schema = _resolved(schema, document)
    if "default" in schema and schema["default"] not in (None, [], {}):
        return schema["default"]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        variants = _variants(schema, document)
        return _sample(variants[0], document, depth) if variants else None
    match schema.get("type"):
        case "object" if depth <= MOST_DEPTH:
            return {
                name: _sample(one, document, depth + 1) for name, one in schema.get("properties", {}).items()
            }
        case "array" if depth <= MOST_DEPTH:
            return [_sample(one, document, depth + 1) for one in _items(schema)]
        case "string":
            return {"date-time": "2026-01-31T12:00:00Z", "duration": "PT30S"}.get(
                schema.get("format", ""), "..."
            )
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return True
        case "array":
            return []
        case _:
            return {}


def _curl(method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    words = ["curl"]
    if any(
        "event-stream" in kind for one in operation["responses"].values() for kind in one.get("content", ())
    ):
        words.append("-N")
    if method != "get":
        words.append(f"-X {method.upper()}")
    url = re.sub(r"\{(\w+)\}", lambda name: f"${name[1].upper()}", path)
    needed = [
        one["name"] for one in operation.get("parameters", ()) if one["in"] == "query" and one["required"]
    ]
    words.append(
        f'"$DOCTOR_URL{url}{"?" if needed else ""}{"&".join(f"{name}=${name.upper()}" for name in needed)}"'
    )
    lines = [" ".join(words)]
    if operation["security"]:
        lines.append('-H "Authorization: Bearer $DOCTOR_TOKEN"')
    if request := operation.get("requestBody"):
        kind, content = next(iter(request["content"].items()))
        lines += [f"-H 'Content-Type: {kind}'", f"--data-binary {_data(kind, content, document)}"]
    return " \\\n  ".join(lines)


def _data(kind: str, content: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    if "json" not in kind:
        return "@file"
    example = content["example"] if "example" in content else _sample(content["schema"], document)
    written = json.dumps(example, ensure_ascii=False)
    if len(written) > 90:
        written = json.dumps(example, ensure_ascii=False, indent=2)
    return "'" + written.replace("'", "'\\''") + "'"


# --- the little of Markdown that descriptions use ---

_INLINE = re.compile(r"``(.+?)``|`(.+?)`|\*\*(.+?)\*\*")


def _markdown(text: str) -> str:
    """Write paragraphs, lists, code and bold as HTML."""
    return "".join(_block(block) for block in re.split(r"\n\s*\n", text.strip()) if block.strip())


def _block(block: str) -> str:
    before, *items = re.split(r"\n- ", "\n" + block)
    paragraph = f"<p>{_inline(before.strip())}</p>" if before.strip() else ""
    points = "".join(f"<li>{_inline(item)}</li>" for item in items)
    return paragraph + (f"<ul>{points}</ul>" if points else "")


def _inline(text: str) -> str:
    def marked(found: re.Match[str]) -> str:
        code = found[1] or found[2]
        return f"<code>{code}</code>" if code else f"<b>{found[3]}</b>"

    return _INLINE.sub(marked, escape(text, quote=False))
