"""The OpenAPI 3.1 document, made from the operations.

msgspec writes the JSON Schemas (dialect 2020-12); what it leaves out and the doors insist on is added here: the format
of times, and the integers that JSON can carry. `wrong_examples` tells which examples do not fit their own types.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from inspect import cleandoc
from typing import Any

import msgspec
from msgspec import inspect as types

from doctor.api.operation import JSON, Operation, Parameter
from doctor.api.problem import MEDIA_TYPE, SAFE_INTEGER, TITLES, ProblemDetails, flaws_of
from doctor.model.identity import Role

REFERENCE = "#/components/schemas/{name}"

INTRODUCTION = """\
Doctor tells the owners of virtual resources, within one second, that the infrastructure below them has failed.

- Names are in snake case, times are RFC 3339 in UTC (a time without zone counts as UTC), durations ISO 8601 or seconds.
- Lists are answered page by page: `{"items": [...], "next": cursor}`, asked for with `limit` and `cursor`.
- Unknown fields and parameters are refused. Of duplicate keys the last one wins.
- What goes wrong is told as `application/problem+json` (RFC 9457), with a JSON pointer to each place in `errors`;
  then nothing was done. A path that does not exist is answered 404, a method that a path does not have 405 with `Allow`.
- Somebody else's resource and one that does not exist are the same: 404 in a path, 422 in a body.
- A body may have 1 MiB, strings of 4 KiB, objects of 64 fields, lists of 1000 items and 16 levels, where no other
  limit is named. It is not compressed, and arrives within 10 seconds.
"""

PROBLEMS = {
    400: "The request cannot be read: no JSON, no UTF-8, nested too deep, no cursor.",
    401: "There is no token, or nobody knows it.",
    403: "The role of the token may not do this.",
    404: "There is no such thing, or it is somebody else's.",
    408: "The body did not arrive in time.",
    409: "It contradicts how things are.",
    413: "The body is too large. The connection is closed.",
    415: "The body is of a kind that is not read here.",
    422: "The request can be read, but not be done: `errors` has every place that is wrong.",
    429: "Too many requests.",
    500: "Doctor failed; its log says more.",
    503: "It cannot be done at the moment, or the store cannot be read; the same request may work later.",
    507: "The store could not keep it; nothing was done. Send it again.",
}

SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"keystone": []}]
SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of Doctor's own: `doctor token create`.",
    },
    "keystone": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Auth-Token",
        "description": "A token of Keystone, where Doctor is set up with one; or one of Doctor's own.",
    },
}


def openapi_document(
    operations: Sequence[Operation], *, version: str, title: str = "Doctor"
) -> dict[str, Any]:
    """Return the document, as builtin types."""
    schemas = _Schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    used = {status for operation in operations for status in operation.problems}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": INTRODUCTION},
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": {
                _response_name(status): _problem(PROBLEMS[status], status) for status in sorted(used)
            },
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def wrong_examples(operations: Iterable[Operation]) -> list[str]:
    """Return a sentence for each example that is not what its operation takes or answers."""
    found = []
    for operation in operations:
        named = {"request": (operation.example, operation.request)}
        for status, example in operation.examples.items():
            kind, _ = operation.answers[status]
            named[str(status)] = (example, kind or ProblemDetails)
        for name, (example, kind) in named.items():
            if example is not None and not isinstance(example, (str, bytes)):
                value = msgspec.to_builtins(example)
                found += [
                    f"{operation.operation_id}, {name}: {flaw.pointer} {flaw.detail}"
                    for flaw in flaws_of(value, kind)
                ]
    return found


# --- operations ---


def _operation(operation: Operation, schemas: "_Schemas") -> dict[str, Any]:
    document: dict[str, Any] = {
        "operationId": operation.operation_id,
        "summary": operation.summary,
        "description": _description(operation),
        "tags": [operation.tag],
        "security": _security(operation),
    }
    if operation.roles is not None:
        document["x-roles"] = _sorted(operation.roles)
    parameters = [_path_parameter(name, operation) for name in operation.path_parameters]
    parameters += [_query_parameter(one, schemas) for one in operation.parameters]
    if parameters:
        document["parameters"] = parameters
    if operation.has_body:
        document["requestBody"] = _request_body(operation, schemas)
    document["responses"] = _responses(operation, schemas)
    return document


def _description(operation: Operation) -> str:
    told = [operation.description] if operation.description else []
    if operation.roles is None:
        told.append("Needs no token.")
    else:
        free = " From the machine itself no token is needed." if operation.open_on_loopback else ""
        told.append(f"Roles: {', '.join(_sorted(operation.roles))}.{free}")
    return "\n\n".join(told)


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    if operation.roles is None:
        return []
    return [*SECURITY, {}] if operation.open_on_loopback else SECURITY


def _sorted(roles: Iterable[Role]) -> list[str]:
    return [role.value for role in Role if role in set(roles)]


def _path_parameter(name: str, operation: Operation) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": operation.path_help.get(name, f"The {name.replace('_', ' ')}."),
        "schema": {"type": "string", "minLength": 1},
    }


def _query_parameter(parameter: Parameter, schemas: "_Schemas") -> dict[str, Any]:
    schema = _without_null(schemas.of(parameter.kind))
    description = schema.pop("description", "")
    if parameter.many:
        description = f"{description} Repeat it for several, or write them with commas.".strip()
    schema.pop("default", None)
    if parameter.default not in (msgspec.NODEFAULT, msgspec.UNSET, None) and not (
        parameter.many and not parameter.default
    ):
        schema["default"] = msgspec.to_builtins(parameter.default)
    document = {
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "schema": schema,
    }
    return {**document, "description": description} if description else document


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A query has no way to say null: leaving the parameter out says it."""
    alternatives = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    if len(alternatives) == 1:
        return {**alternatives[0], **rest}
    return {**rest, "anyOf": alternatives} if alternatives else rest


def _request_body(operation: Operation, schemas: "_Schemas") -> dict[str, Any]:
    content = {}
    for kind in operation.accepts:
        schema = _schema(operation.request, kind, schemas)
        if operation.needs_body and schema == {"type": "string"}:
            schema = {"type": "string", "minLength": 1}
        content[kind] = _content(schema, operation.example)
    return {"required": operation.needs_body, "content": content}


def _responses(operation: Operation, schemas: "_Schemas") -> dict[str, Any]:
    responses: dict[int, dict[str, Any]] = {
        status: {"$ref": f"#/components/responses/{_response_name(status)}"} for status in operation.problems
    }
    for status, (kind, told) in operation.answers.items():
        example = operation.examples.get(status)
        if kind is None and status >= 400:
            responses[status] = _problem(told, status, example)
        elif kind is None:
            responses[status] = {"description": told}
        else:
            schema = _schema(kind, operation.produces, schemas)
            responses[status] = {
                "description": told,
                "content": {operation.produces: _content(schema, example)},
            }
    return {str(status): responses[status] for status in sorted(responses)}


def _problem(told: str, status: int, example: Any = None) -> dict[str, Any]:
    content = _content({"$ref": REFERENCE.format(name=ProblemDetails.__name__)}, example)
    document: dict[str, Any] = {"description": told, "content": {MEDIA_TYPE: content}}
    if status == 401:
        document["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}
    if status in (429, 503, 507):
        seconds = {"type": "integer", "minimum": 0}
        document["headers"] = {
            "Retry-After": {"required": True, "description": "Seconds to wait.", "schema": seconds}
        }
    return document


def _response_name(status: int) -> str:
    return TITLES[status].replace(" ", "")


def _content(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    if example is None:
        return {"schema": schema}
    return {"schema": schema, "example": msgspec.to_builtins(example, str_keys=True)}


def _schema(kind: Any, media_type: str, schemas: "_Schemas") -> dict[str, Any]:
    if _is_json(media_type):
        return schemas.of(kind)
    return (
        {"type": "string"} if media_type.startswith("text/") else {}
    )  # YAML, say, is not a string but says things


def _is_json(media_type: str) -> bool:
    return media_type == JSON or media_type.endswith("+json")


# --- schemas ---


class _Schemas:
    """The JSON Schemas of all types, and the components that they share."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._kinds: list[Any] = [ProblemDetails]
        for operation in operations:
            self._add(operation)
        nodes = types.multi_type_info(self._kinds)
        structs: dict[Any, types.StructType] = {}
        for node in nodes:
            _collect(node, structs)
        # The structs are asked for once more at the end, since their references tell their names.
        schemas, components = msgspec.json.schema_components([*self._kinds, *structs], ref_template=REFERENCE)
        for schema, node in zip(schemas, nodes, strict=False):
            _complete(schema, node)
        for schema, struct in zip(schemas[len(nodes) :], structs.values(), strict=True):
            properties = components[schema["$ref"].rpartition("/")[2]]["properties"]
            for one in struct.fields:
                _complete(properties[one.encode_name], one.type)
        self._schemas: list[dict[str, Any]] = _finished(list(schemas))
        self.components = {
            _page_name(name): _component(name, components[name]) for name in sorted(components)
        }

    def _add(self, operation: Operation) -> None:
        kinds = [one.kind for one in operation.parameters]
        if operation.has_body and any(_is_json(kind) for kind in operation.accepts):
            kinds.append(operation.request)
        if _is_json(operation.produces):
            kinds += [kind for kind, _ in operation.answers.values() if kind is not None]
        self._kinds += [kind for kind in kinds if kind not in self._kinds]

    def of(self, kind: Any) -> dict[str, Any]:
        """Return the schema of a type. Raw bytes can be anything."""
        return {} if kind is bytes else self._schemas[self._kinds.index(kind)]


def _collect(node: Any, structs: dict[Any, types.StructType]) -> None:
    """Find all structs in a type."""
    match node:
        case types.StructType(cls=cls):
            if cls not in structs:
                structs[cls] = node
                for member in node.fields:
                    _collect(member.type, structs)
        case types.Metadata(type=inner) | types.DictType(value_type=inner):
            _collect(inner, structs)
        case types.UnionType(types=several) | types.TupleType(item_types=several):
            for one in several:
                _collect(one, structs)
        case types.CollectionType(item_type=inner):
            _collect(inner, structs)
        case _:
            pass


def _complete(schema: dict[str, Any], node: Any) -> None:
    """Say of times that they are, which msgspec says only of those that must have a zone."""
    match node:
        case types.Metadata(type=inner):
            _complete(schema, inner)
        case types.DateTimeType() if schema.get("type") == "string":
            schema.setdefault("format", "date-time")
        case types.UnionType(types=several):
            for one in several:
                for alternative in schema.get("anyOf", ()):
                    if _is_schema_of(alternative, one, several):
                        _complete(alternative, one)
        case types.CollectionType(item_type=inner) if isinstance(schema.get("items"), dict):
            _complete(schema["items"], inner)
        case types.TupleType(item_types=several):
            for item, one in zip(schema.get("prefixItems", ()), several, strict=False):
                _complete(item, one)
        case types.DictType(value_type=inner) if isinstance(schema.get("additionalProperties"), dict):
            _complete(schema["additionalProperties"], inner)
        case _:
            pass


def _is_schema_of(schema: Mapping[str, Any], node: Any, several: Sequence[Any]) -> bool:
    match node:
        case types.DateTimeType():
            return not any(isinstance(one, types.StrType) for one in several)
        case types.CollectionType() | types.TupleType():
            return schema.get("type") == "array"
        case types.DictType():
            return schema.get("type") == "object"
        case _:
            return False


def _component(name: str, schema: Any) -> dict[str, Any]:
    finished: dict[str, Any] = _finished(schema)
    finished["title"] = _page_name(name)
    if "description" in finished:
        finished["description"] = cleandoc(finished["description"])
    return finished


def _finished(document: Any) -> Any:
    """Bound the integers, let sets be written with repetitions, and call a page of something by a name that reads."""
    match document:
        case list():
            return [_finished(item) for item in document]
        case {"type": "integer"}:
            return {**document, **_bounds(document)}
        case {"type": "array", "uniqueItems": True}:
            return _finished({name: value for name, value in document.items() if name != "uniqueItems"})
        case {"$ref": str(reference)}:
            place, _, name = reference.rpartition("/")
            return {**document, "$ref": f"{place}/{_page_name(name)}"}
        case dict():
            return {name: _finished(value) for name, value in document.items()}
        case _:
            return document


def _bounds(schema: Mapping[str, Any]) -> dict[str, int]:
    bounds = {}
    if "exclusiveMinimum" not in schema:
        bounds["minimum"] = schema.get("minimum", -SAFE_INTEGER)
    if "exclusiveMaximum" not in schema:
        bounds["maximum"] = schema.get("maximum", SAFE_INTEGER)
    return bounds


_PAGE = re.compile(r"Page_(\w+)_")


def _page_name(name: str) -> str:
    found = _PAGE.fullmatch(name)
    return f"{found[1]}Page" if found else name
