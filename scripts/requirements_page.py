"""Make docs/requirements.md from the statements of the requirements and from the tests that cite them.

A test says what it shows with ``@pytest.mark.requirement("B5", "B8")``, on itself, its class or its whole module. The
tests are read, not run, so the page is what the repository says. Run by scripts/requirements.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
STATEMENTS = ROOT / "docs" / "requirements" / "statements.yaml"
PAGE = ROOT / "docs" / "requirements.md"
TESTS = ROOT / "tests"
FIELDS = {"id", "source", "statement", "missing", "outside"}

INTRODUCTION = """\
# Requirements

<!-- Made by scripts/requirements from docs/requirements/statements.yaml and the tests. Do not edit. -->

What the documents of record ask for, statement by statement, and the tests that show it. The sentences are shortened by
us and in our words; the documents themselves have the last word. A test that is named runs at every change.

- **shown**: the tests show what the statement asks for.
- **partly**: the tests show a part; what is missing is said.
- **open**: nothing shows it yet, be it that it is not built, or not tested.
- **outside**: not for a fault manager to do; the reason is given.
"""


class Flawed(Exception):
    """The statements or the marks are wrong; the message lists what."""


class Statement(NamedTuple):
    """One statement: ``missing`` is what its tests do not show, ``outside`` why it is nothing for Doctor."""

    id: str
    source: str
    statement: str
    missing: str = ""
    outside: str = ""

    def status(self, tests: list["Citing"]) -> str:
        """Tell how the statement stands, with these tests."""
        if self.outside:
            return "outside"
        if not tests:
            return "open"
        return "partly" if self.missing else "shown"


class Chapter(NamedTuple):
    """Statements that belong together."""

    title: str
    statements: list[Statement]


class Citing(NamedTuple):
    """A test that cites statements."""

    file: str
    name: str


def read_chapters(text: str) -> tuple[dict[str, str], list[Chapter]]:
    """Read the documents by their short names, and the chapters.

    Raises:
        Flawed: an id is there twice, or a field is not known.
    """
    data: dict[str, Any] = yaml.safe_load(text)
    flaws = []
    seen: set[str] = set()
    chapters = []
    for chapter in data["chapters"]:
        statements = []
        for given in chapter["statements"]:
            flaws += [f"{given.get('id')}: unknown field {name!r}" for name in sorted(given.keys() - FIELDS)]
            if given["id"] in seen:
                flaws.append(f"{given['id']}: is there twice")
            seen.add(given["id"])
            statements.append(Statement(**{name: given[name] for name in given.keys() & FIELDS}))
        chapters.append(Chapter(chapter["title"], statements))
    if flaws:
        raise Flawed("\n".join(flaws))
    return data["documents"], chapters


def marks_in(source: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Return the tests of a module with the ids that they cite, in their order.

    Raises:
        Flawed: a mark whose ids are not written out.
    """
    module = ast.parse(source)
    everywhere = [
        one
        for node in module.body
        if isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in node.targets)
        for one in _ids(node.value.elts if isinstance(node.value, ast.List) else [node.value])
    ]
    yield from _cited(module.body, "", everywhere)


def _cited(body: list[ast.stmt], prefix: str, outer: list[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            if ids := _ids(node.decorator_list):  # its tests may be inherited
                yield prefix + node.name, tuple(dict.fromkeys(ids))
            yield from _cited(node.body, f"{prefix}{node.name}.", outer)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            cited = [*outer, *_ids(node.decorator_list)]
            if cited:
                yield prefix + node.name, tuple(dict.fromkeys(cited))


def _ids(decorators: list[ast.expr]) -> list[str]:
    found = []
    for decorator in decorators:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if ast.unparse(called) != "pytest.mark.requirement":
            continue
        values = decorator.args if isinstance(decorator, ast.Call) else []
        if not values or not all(
            isinstance(one, ast.Constant) and isinstance(one.value, str) for one in values
        ):
            raise Flawed(f"line {decorator.lineno}: write the ids of the statements out, as texts")
        found += [str(one.value) for one in values if isinstance(one, ast.Constant)]
    return found


def collect(folder: Path) -> dict[str, list[Citing]]:
    """Return the tests by the statements that they cite.

    Raises:
        Flawed: marks that cannot be read.
    """
    found: defaultdict[str, list[Citing]] = defaultdict(list)
    for file in sorted(folder.rglob("test_*.py")):
        name = file.relative_to(folder.parent).as_posix()
        try:
            for test, ids in marks_in(file.read_text()):
                for one in ids:
                    found[one].append(Citing(name, test))
        except Flawed as flaw:
            raise Flawed(f"{name}: {flaw}") from None
    return found


def page_of(documents: dict[str, str], chapters: list[Chapter], tests: dict[str, list[Citing]]) -> str:
    """Write the page.

    Raises:
        Flawed: a test cites what does not exist, or what is outside.
    """
    known = {one.id: one for chapter in chapters for one in chapter.statements}
    flaws = [
        f"{test.file}: {test.name} cites {name}, which is {'outside' if name in known else 'no statement'}"
        for name, citing in tests.items()
        if name not in known or known[name].outside
        for test in citing
    ]
    if flaws:
        raise Flawed("\n".join(flaws))
    lines = [
        INTRODUCTION,
        "| | shown | partly | open | outside | all |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    counted = [(chapter.title, _counts(chapter.statements, tests)) for chapter in chapters]
    lines += [_row(title, counts) for title, counts in counted]
    lines.append(
        _row("**all**", [sum(column) for column in zip(*(counts for _, counts in counted), strict=True)])
    )
    lines += ["", "The documents:", ""]
    lines += [f"- `{short}`: {title}" for short, title in documents.items()]
    for chapter in chapters:
        lines += ["", f"## {chapter.title}", "", "| id | place | statement | |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {one.id} | {one.source} | {_cell(one.statement)} | {_shown(one, tests.get(one.id, []))} |"
            for one in chapter.statements
        ]
    return "\n".join(lines) + "\n"


STATUSES = ("shown", "partly", "open", "outside")


def _counts(statements: list[Statement], tests: dict[str, list[Citing]]) -> list[int]:
    said = [one.status(tests.get(one.id, [])) for one in statements]
    return [*(said.count(status) for status in STATUSES), len(said)]


def _row(title: str, counts: list[int]) -> str:
    return f"| {title} | {' | '.join(map(str, counts))} |"


def _shown(one: Statement, tests: list[Citing]) -> str:
    remark = one.outside or one.missing
    said = f"**{one.status(tests)}**" + (f": {_cell(remark)}" if remark else "")
    links = [f"[{test.name}](../{test.file})" for test in tests]
    return "<br>".join([said, *links])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main(arguments: list[str]) -> int:
    try:
        page = page_of(*read_chapters(STATEMENTS.read_text()), collect(TESTS))
    except Flawed as flaw:
        print(flaw, file=sys.stderr)
        return 1
    if "--check" not in arguments:
        PAGE.write_text(page)
    elif not PAGE.exists() or PAGE.read_text() != page:
        print("docs/requirements.md is not up to date: run scripts/requirements", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
