"""Check what no other tool looks at: the repository itself. Part of `make check`."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

NEWS = re.compile(
    r"(\d+|\+[a-z0-9-]+)\.("
    + "|".join(t["directory"] for t in PROJECT["tool"]["towncrier"]["type"])
    + r")\.md"
)
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)(?:#[^)\s]*)?\)")
FENCED = re.compile(r"^(```+|~~~+).*?^\1", re.DOTALL | re.MULTILINE)
LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==\S+", re.MULTILINE)
NAMED_FOR_NOTHING = {"utils", "util", "common", "helpers", "manager", "managers", "misc"}


def news_is_named_for_its_kind() -> Iterator[str]:
    """Towncrier would leave a file with a mistyped kind behind at the release."""
    for file in (ROOT / "changes").iterdir():
        if file.name != "README.md" and not NEWS.fullmatch(file.name):
            yield f"{_short(file)}: name it as changes/README.md says"


def modules_are_named_for_a_noun() -> Iterator[str]:
    """If there is no noun for it, it is not one thing yet."""
    for file in (ROOT / "src").rglob("*"):
        if file.stem in NAMED_FOR_NOTHING:
            yield f"{_short(file)}: the name does not tell what it is"


def links_lead_somewhere() -> Iterator[str]:
    """Look at the links between our own pages, not at addresses elsewhere."""
    for page in _tracked("*.md"):
        for target in LINK.findall(FENCED.sub("", page.read_text())):
            if not (page.parent / target).exists():
                yield f"{_short(page)}: leads to {target}, which does not exist"


def locks_hold_what_the_project_names() -> Iterator[str]:
    """A dependency that was added to pyproject.toml is locked as well, and a lock names no server."""
    groups = PROJECT["dependency-groups"]
    runtime = {_name(line) for line in PROJECT["project"]["dependencies"]}
    openstack = {_name(line) for line in PROJECT["project"]["optional-dependencies"]["openstack"]}
    build = {_name(line) for line in groups["build"]}
    dev = {_name(line) for line in groups["dev"] if isinstance(line, str)}
    dev |= {_name(line) for extra in PROJECT["project"]["optional-dependencies"].values() for line in extra}
    wanted_in = {
        "runtime": runtime,
        "openstack": runtime | openstack,
        "build": build,
        "dev": runtime | openstack | build | dev,
    }
    for file, wanted in wanted_in.items():
        text = (ROOT / "requirements" / f"{file}.txt").read_text()
        locked = {_name(line) for line in LOCKED.findall(text)}
        for name in sorted(wanted - locked):
            yield f"requirements/{file}.txt: {name} is missing; run make lock"
        if "://" in text:
            yield f"requirements/{file}.txt: names a server; it should hold versions and hashes only"


def shell_scripts_parse() -> Iterator[str]:
    """Let bash read each script without running it."""
    for script in [*_tracked("scripts/*"), *_tracked("testbeds/*"), ROOT / ".ci" / "run"]:
        if script.read_text().startswith("#!/usr/bin/env bash"):
            read = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
            if read.returncode:
                yield f"{_short(script)}: {read.stderr.strip()}"
            if not script.stat().st_mode & 0o100:
                yield f"{_short(script)}: is not executable"


CHECKS: list[Callable[[], Iterator[str]]] = [
    news_is_named_for_its_kind,
    modules_are_named_for_a_noun,
    links_lead_somewhere,
    locks_hold_what_the_project_names,
    shell_scripts_parse,
]


def main() -> int:
    complaints = [complaint for check in CHECKS for complaint in check()]
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    if not complaints:
        print(f"repository: {len(CHECKS)} checks, all well")
    return bool(complaints)


def _tracked(pattern: str) -> list[Path]:
    """List the files that git has or would take; outside of a git checkout, all but what tools have made."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", pattern]
    try:
        listed = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        files = [ROOT / name for name in listed]
    except (FileNotFoundError, subprocess.CalledProcessError):
        made = {".venv", "build", "dist"}
        files = [file for file in ROOT.rglob(pattern) if file.relative_to(ROOT).parts[0] not in made]
    return [file for file in files if file.is_file()]


def _name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\s<>=!~;\[]", requirement, maxsplit=1)[0]).lower()


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT))


if __name__ == "__main__":
    sys.exit(main())
