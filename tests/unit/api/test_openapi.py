import os
import re
from base64 import b64encode
from datetime import datetime
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any, Literal

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from doctor.api.docs import page_of
from doctor.api.openapi import openapi_document, wrong_examples
from doctor.api.operation import Answer, Call, operation, operations_of
from doctor.api.paging import Page, cursor_at
from doctor.testing.asgi import call
from tests.unit.api.toy import KettleDoor, toy

EXAMPLES = 400 if os.environ.get("DOCTOR_SOAK") else 25
OPERATIONS = operations_of(KettleDoor())
DOCUMENT = openapi_document(OPERATIONS, version="1.2.3")


def component(name: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][name]
    return found


def parameters(path: str, method: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in DOCUMENT["paths"][path][method]["parameters"]}


# --- the document ---


def test_the_document_keeps_the_rules_of_openapi() -> None:
    schemathesis.openapi.from_dict(DOCUMENT).validate()


def test_every_reference_leads_somewhere() -> None:
    references = set(re.findall(rb'"\$ref":"#/([^"]+)"', msgspec.json.encode(DOCUMENT)))
    assert references
    for reference in references:
        place: Any = DOCUMENT
        for step in reference.decode().split("/"):
            place = place[step]
        assert place


def test_every_operation_is_in_the_document() -> None:
    found = {
        (method.upper(), path, one["operationId"])
        for path, methods in DOCUMENT["paths"].items()
        for method, one in methods.items()
    }
    assert found == {(one.method, one.path, one.operation_id) for one in OPERATIONS}


def test_an_operation_says_who_may() -> None:
    made = DOCUMENT["paths"]["/v1/kettles"]["post"]
    assert made["security"] == [{"bearer": []}, {"keystone": []}]
    assert made["x-roles"] == ["admin", "consumer"]
    assert made["description"] == "Roles: admin, consumer."
    assert DOCUMENT["paths"]["/healthz"]["get"]["security"] == []
    metrics = DOCUMENT["paths"]["/metrics"]["get"]
    assert metrics["security"] == [{"bearer": []}, {"keystone": []}, {}]
    assert "no token is needed" in metrics["description"]


def test_an_operation_says_how_it_fails() -> None:
    responses = DOCUMENT["paths"]["/v1/kettles"]["post"]["responses"]
    assert list(responses) == sorted(responses)
    assert responses["422"] == {"$ref": "#/components/responses/UnprocessableContent"}
    assert responses["409"]["description"] == "There is a kettle of that name."
    assert "application/problem+json" in responses["409"]["content"]
    shared = DOCUMENT["components"]["responses"]
    assert shared["Unauthorized"]["headers"]["WWW-Authenticate"]["required"]
    assert shared["InsufficientStorage"]["headers"]["Retry-After"]["required"]


def test_an_answer_without_content_has_none() -> None:
    assert DOCUMENT["paths"]["/v1/kettles/{kettle_id}"]["delete"]["responses"]["204"] == {
        "description": "It is gone."
    }


def test_a_page_is_called_by_what_is_on_it() -> None:
    answered = DOCUMENT["paths"]["/v1/kettles"]["get"]["responses"]["200"]
    assert answered["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/KettlePage"}
    page = component("KettlePage")
    assert page["title"] == "KettlePage"
    assert page["properties"]["items"]["items"] == {"$ref": "#/components/schemas/Kettle"}


def test_parameters_are_described() -> None:
    query = parameters("/v1/kettles", "get")
    assert query["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}
    assert query["limit"]["description"] == "How many items to answer with, at most."
    assert query["cursor"]["schema"] == {"type": "string", "format": "doctor-cursor"}
    assert query["since"]["schema"] == {"type": "string", "format": "date-time"}
    assert query["hot"] == {"name": "hot", "in": "query", "required": False, "schema": {"type": "boolean"}}
    assert query["colour"]["schema"] == {"type": "array", "items": {"$ref": "#/components/schemas/Colour"}}
    assert query["colour"]["description"].startswith("Only of these colours.")
    (kettle_id,) = parameters("/v1/kettles/{kettle_id}", "patch").values()
    assert (kettle_id["in"], kettle_id["required"], kettle_id["description"]) == (
        "path",
        True,
        "The name, too.",
    )
    (kettle_id,) = parameters("/v1/kettles/{kettle_id}", "get").values()
    assert kettle_id["description"] == "The kettle id."


def test_schemas_say_what_the_doors_insist_on() -> None:
    lid = component("Lid")
    assert lid["additionalProperties"] is False
    assert lid["properties"]["made"]["anyOf"] == [{"type": "string", "format": "date-time"}, {"type": "null"}]
    assert lid["properties"]["weight"] == {"type": "integer", "minimum": 0, "maximum": 2**53 - 1}
    assert component("KettleRequest")["properties"]["name"]["pattern"] == "^[a-z][a-z0-9-]*$"


def test_a_body_may_be_text_or_left_out() -> None:
    recipe = DOCUMENT["paths"]["/v1/recipe"]["put"]
    assert recipe["requestBody"] == {
        "required": True,
        "content": {
            "application/yaml": {"schema": {}},
            "text/plain": {"schema": {"type": "string", "minLength": 1}},
        },
    }
    assert recipe["responses"]["200"]["content"] == {"text/plain": {"schema": {"type": "string"}}}
    assert not DOCUMENT["paths"]["/v1/kettles/{kettle_id}/boil"]["post"]["requestBody"]["required"]


def test_examples_are_shown() -> None:
    made = DOCUMENT["paths"]["/v1/kettles"]["post"]
    assert made["requestBody"]["content"]["application/json"]["example"]["name"] == "whistler"
    assert made["responses"]["201"]["content"]["application/json"]["example"]["kettle_id"] == "k-whistler"


class Node(msgspec.Struct):
    """A thing with things in it.

    Of any depth.
    """

    times: dict[str, list[datetime]] = {}
    inner: "list[Node]" = []
    when: datetime | list[datetime] | None = None
    pair: tuple[int, datetime] | None = None


class NodeDoor:
    @operation(
        "PUT", "/nodes", tag="Nodes", roles=None, answers={200: "Them.", 404: (dict[str, int], "None.")}
    )
    async def put_nodes(self, call: Call[list[Node], None]) -> Answer[Page[Literal["a", "b"]]]:
        """Replace all nodes."""
        return Answer(Page([]))

    @operation("POST", "/nodes", tag="Nodes", roles=None, accepts=("application/json",))
    async def post_nodes(self, call: Call[bytes, None]) -> Answer[Page[Node]]:
        """Add nodes, whatever they look like."""
        return Answer(Page([]))


def test_types_inside_types_are_found() -> None:
    document = openapi_document(operations_of(NodeDoor()), version="1")
    schemathesis.openapi.from_dict(document).validate()
    properties = document["components"]["schemas"]["Node"]["properties"]
    time = {"type": "string", "format": "date-time"}
    assert properties["times"]["additionalProperties"]["items"] == time
    assert time in properties["when"]["anyOf"]
    assert {"type": "array", "items": time} in properties["when"]["anyOf"]
    assert properties["pair"]["anyOf"][0]["prefixItems"][1] == time
    assert document["components"]["schemas"]["Node"]["description"] == (
        "A thing with things in it.\n\nOf any depth."
    )
    posted = document["paths"]["/nodes"]["post"]["requestBody"]["content"]["application/json"]
    assert posted == {"schema": {}}
    own_404 = document["paths"]["/nodes"]["put"]["responses"]["404"]["content"]
    assert own_404["application/json"]["schema"]["type"] == "object"


def test_wrong_examples_are_found() -> None:
    class Door:
        @operation(
            "PUT",
            "/nodes",
            tag="Nodes",
            roles=None,
            example={"times": []},
            examples={200: [{"inner": 1}, {}]},
        )
        async def put_node(self, call: Call[Node, None]) -> Answer[list[Node]]:
            """Replace a node."""
            return Answer([])

    assert wrong_examples(OPERATIONS) == []
    assert wrong_examples(operations_of(Door())) == [
        "put_node, request: /times expected an object, got a list",
        "put_node, 200: /0/inner expected a list, got an integer",
    ]


# --- whether it is true ---

# Free text is no cursor: whoever follows the document has one from an answer.
schemathesis.openapi.format("doctor-cursor", st.sampled_from([cursor_at("a"), cursor_at("k-1")]))
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", toy(KettleDoor())).exclude(path="/v1/steam")
SCHEMA.config.generation.update(modes=list(schemathesis.GenerationMode))


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
def test_the_application_does_what_the_document_says(case: schemathesis.Case[Any]) -> None:
    case.call_and_validate(headers={"Authorization": "Bearer admin"})


# --- the page for people ---


class Words(HTMLParser):
    """What a page shows, where its links go, and whether its elements are closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.elements: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        named = dict(attrs)
        self.ids.add(named.get("id") or "")
        if href := named.get("href"):
            self.links.append(href)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_sound_and_its_links_lead_somewhere() -> None:
    words = Words(page_of(DOCUMENT))
    assert words.open == []
    assert "script" not in words.elements
    for link in words.links:
        assert link == "openapi.json" or link.removeprefix("#") in words.ids


def test_the_page_shows_every_operation_with_a_curl_line() -> None:
    page = page_of(DOCUMENT)
    for one in OPERATIONS:
        assert f'<article id="{one.operation_id}">' in page
    assert (
        "curl -X POST &quot;$DOCTOR_URL/v1/kettles/$KETTLE_ID/boil&quot; \\\n"
        "  -H &quot;Authorization: Bearer $DOCTOR_TOKEN&quot; \\\n"
        "  -H &#x27;Content-Type: application/json&#x27; \\\n"
        "  --data-binary &#x27;{&quot;degrees&quot;: 100}&#x27;"
    ) in page
    assert "curl -N &quot;$DOCTOR_URL/v1/steam&quot;" in page
    assert "--data-binary @file" in page
    assert "<code>lids[].weight</code>" in page


def test_what_is_described_cannot_break_the_page() -> None:
    class Door:
        @operation(
            "GET",
            "/x",
            tag="<Tag>",
            roles=None,
            answers={200: "<i>` & **more**"},
            examples={200: "</code><script>"},
        )
        async def x(self, call: Call[None, None]) -> Answer[str]:
            """Say <b>.

            First ``<x>`` and **bold**:
            - one
            - `two`
            """
            return Answer("")

    page = page_of(openapi_document(operations_of(Door()), version="<1>"))
    words = Words(page)
    assert words.open == [] and "script" not in words.elements
    assert (
        "<p>First <code>&lt;x&gt;</code> and <b>bold</b>:</p><ul><li>one</li><li><code>two</code></li></ul>"
        in page
    )


def test_a_page_of_a_recursive_type_ends() -> None:
    page = page_of(openapi_document(operations_of(NodeDoor()), version="1"))
    assert "<code>[].inner[].times</code>" in page
    assert "list of integer, time or null" in page


async def test_the_page_and_the_document_are_served_to_everybody() -> None:
    app = toy(KettleDoor())
    page = await call(app, "GET", "/docs")
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    style = page.text.partition("<style>")[2].partition("</style>")[0]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page.headers["content-security-policy"]
    document = (await call(app, "GET", "/openapi.json")).json()
    assert document["info"]["version"] == "1.2.3"
    assert set(document["paths"]) == {*DOCUMENT["paths"], "/docs", "/openapi.json"}


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
async def test_documentation_is_never_stored(path: str) -> None:
    assert (await call(toy(KettleDoor()), "GET", path)).headers["cache-control"] == "no-store"
