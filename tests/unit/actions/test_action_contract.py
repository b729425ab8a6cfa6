"""The actions that ship, against what every one promises: a real program, a real service, a real playbook."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from doctor.drivers.actions import ansible, command, http
from doctor.drivers.actions.process import RUN_ID
from doctor.kit import program
from doctor.model.maintenance_action import Done, NotDone
from doctor.ports.action import MaintenanceAction
from doctor.testing.contracts.action import ActionContract, ActionRig, job, soon
from tests.waiting import until

PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
SCRIPT = """#!/bin/sh
# Writes down what it was told; the rest is what the test wants.
cat > "$BOOK.now" && cat "$BOOK.now" >> "$BOOK" && echo >> "$BOOK"
case "$(cat "$MOOD")" in
    hang) setsid sleep 300 & trap '' TERM; sleep 300; sleep 300 ;;
    fine) echo begun; echo "all is well" ;;
    *) echo "begun"; cat "$MOOD" >&2; exit 3 ;;
esac
"""
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.set_fact:
        mood: "{{ lookup('ansible.builtin.file', mood_file) }}"
    - ansible.builtin.fail:
        msg: "{{ mood }}"
      when: mood not in ['fine', 'hang']
    - ansible.builtin.lineinfile:
        path: "{{ book_file }}"
        line: "{{ doctor | to_json(ensure_ascii=False) }}"
        create: true
      run_once: true
    - ansible.builtin.command: sleep 300
      when: mood == 'hang'
"""


class LocalRig(ActionRig):
    """One that runs on this machine: what it is to do is in a file, what it was told in another."""

    def __init__(self, folder: Path) -> None:
        self.book, self.mood = folder / "book", folder / "mood"
        self.heal()

    def fail(self, why: str) -> None:
        self.mood.write_text(why)

    def hang(self) -> None:
        self.mood.write_text("hang")

    def heal(self) -> None:
        self.mood.write_text("fine")

    def told(self) -> list[dict[str, Any]]:
        lines = self.book.read_text().splitlines() if self.book.exists() else []
        return [json.loads(line) for line in lines]

    def left(self) -> int:
        marker = f"{RUN_ID}={job().run_id}".encode()
        return sum(program._is_marked(pid, marker) for pid in program._processes())


def commanded(folder: Path, **more: str) -> tuple[MaintenanceAction, LocalRig]:
    """Return an action that runs the script."""
    script = folder / "act"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    rig = LocalRig(folder)
    environment = {"BOOK": str(rig.book), "MOOD": str(rig.mood), **more}
    return command.make({"command": [str(script)], "environment": environment}), rig


class TestCommand(ActionContract):
    @pytest.fixture
    async def rig(self, tmp_path: Path) -> AsyncIterator[ActionRig]:
        action, rig = commanded(tmp_path)
        rig.action, rig.short = action, 1.0
        yield rig
        await action.close()

    async def test_it_says_its_last_words(self, rig: ActionRig) -> None:
        assert await rig.action.run(job(), soon(10)) == Done("all is well")

    async def test_what_an_earlier_doctor_has_left_of_a_run_is_ended_first(self, rig: LocalRig) -> None:
        """[I-17] Killed in the midst of it: what it had begun must not run beside what is begun again."""
        script = rig.book.with_name("act")
        rig.hang()
        environment = {RUN_ID: job().run_id, "BOOK": str(rig.book), "MOOD": str(rig.mood)}
        orphan = await asyncio.create_subprocess_exec(
            script,
            env={**program.ENVIRONMENT, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        await asyncio.to_thread(until, lambda: rig.left() >= 3)  # with what it has started
        rig.heal()
        assert isinstance(await rig.action.run(job(), soon(10)), Done)
        assert await asyncio.wait_for(orphan.wait(), 5) == -9
        assert rig.left() == 0

    async def test_a_program_that_is_killed_has_failed(self, rig: LocalRig) -> None:
        rig.book.with_name("act").write_text("#!/bin/sh\nkill -9 $$\n")
        outcome = await rig.action.run(job(), soon(10))
        assert outcome == NotDone(f"{rig.book.with_name('act')} was killed by signal 9")

    async def test_it_gets_nothing_of_doctors_environment(
        self, rig: LocalRig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DOCTOR_TOKEN", "geheim")
        rig.book.with_name("act").write_text("#!/bin/sh\nenv | cut -d= -f1 | sort | tr '\\n' ' '\n")
        outcome = await rig.action.run(job(), soon(10))
        assert isinstance(outcome, Done)
        assert set(outcome.detail.split()) <= {
            *("BOOK", "MOOD", "PATH", "LC_ALL", "PWD", "OLDPWD", "SHLVL", "_"),
            *("DOCTOR_RUN_ID", "DOCTOR_HOST"),
        }

    async def test_of_endless_talk_the_end_is_kept(self, rig: LocalRig) -> None:
        rig.book.with_name("act").write_text("#!/bin/sh\nseq 1 200000\necho the end\nexit 1\n")
        outcome = await rig.action.run(job(), soon(20))
        assert isinstance(outcome, NotDone)
        assert outcome.detail.endswith("ended with 1: the end")

    async def test_a_program_that_is_gone_is_not_done(self, rig: LocalRig) -> None:
        rig.book.with_name("act").unlink()
        assert "there is no such program here" in (await rig.action.run(job(), soon(5))).detail

    async def test_one_that_cannot_be_started_is_not_done(self, rig: LocalRig) -> None:
        rig.book.with_name("act").write_text("#!/nowhere/interpreter\n")
        assert "cannot be started" in (await rig.action.run(job(), soon(5))).detail


class TestAnsible(ActionContract):
    @pytest.fixture
    async def rig(self, tmp_path: Path) -> AsyncIterator[ActionRig]:
        rig = LocalRig(tmp_path)
        rig.action = ansible.make(played(tmp_path))
        rig.short, rig.patience = 4.0, 60.0
        yield rig
        await rig.action.close()

    async def test_it_says_what_was_done(self, rig: ActionRig) -> None:
        assert await rig.action.run(job(), soon(60)) == Done("compute-1: 2 ok, 1 changed")

    @pytest.mark.parametrize(
        ("host", "said"),
        [
            pytest.param("compute-9", "leaves us with no hosts", id="unknown-to-the-inventory"),
            pytest.param("all", "all is no name of one host", id="a-group-of-all"),
            pytest.param("compute-*", "is no name of one host", id="a-pattern"),
            pytest.param("@/etc/passwd", "is no name of one host", id="a-file"),
            pytest.param("rack", "on other hosts, too|on no host", id="a-group"),
        ],
    )
    async def test_only_one_host_is_ever_meant(self, rig: ActionRig, host: str, said: str) -> None:
        outcome = await rig.action.run(job(host), soon(60))
        assert isinstance(outcome, NotDone), outcome
        assert any(words in outcome.detail for words in said.split("|")), outcome


def played(folder: Path) -> dict[str, Any]:
    """Return settings for the playbook, on an inventory whose hosts are all this machine."""
    (folder / "play.yaml").write_text(PLAY)
    local = f"ansible_connection=local ansible_python_interpreter={sys.executable}"
    (folder / "inventory").write_text(f"[rack]\ncompute-1 {local}\ncompute-2 {local}\n")
    return {
        "playbook_file": str(folder / "play.yaml"),
        "inventory_file": str(folder / "inventory"),
        "variables": {"mood_file": str(folder / "mood"), "book_file": str(folder / "book")},
        "program": str(PLAYBOOK),
    }


class Service(ActionRig):
    """A service over HTTP."""

    secret = "geheim"
    short = 1.0

    def __init__(self) -> None:
        self.mood = "fine"
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.tokens: list[str | None] = []
        self.asked = 0
        self.busy = 0
        self.location = "/jobs/1"

    def fail(self, why: str) -> None:
        self.mood = why

    def hang(self) -> None:
        self.mood = "hang"

    def heal(self) -> None:
        self.mood = "fine"

    def told(self) -> list[dict[str, Any]]:
        return self.bodies

    async def take(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers["idempotency-key"])
        self.tokens.append(request.headers.get("authorization"))
        self.bodies.append(await request.json())
        match self.mood:
            case "hang":
                await asyncio.sleep(300)
            case "fine":
                return web.json_response({"detail": "flashed"})
            case "busy" if self.busy:
                self.busy -= 1
                return web.Response(status=503)
            case "later":
                return web.Response(status=202, headers={"location": self.location})
            case "busy":
                return web.Response(status=204)
            case why:
                return web.json_response({"detail": why}, status=422)
        return web.Response(status=500)

    async def show(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.asked < 3:
            return web.Response(status=202)
        return web.json_response({"detail": "flashed in the end"})


class TestHttp(ActionContract):
    @pytest.fixture
    async def rig(self, tmp_path: Path) -> AsyncIterator[ActionRig]:
        rig = Service()
        application = web.Application()
        application.router.add_post("/flash", rig.take)
        application.router.add_get("/jobs/1", rig.show)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        token = tmp_path / "token"
        token.write_text("geheim\n")
        token.chmod(0o600)
        url = f"http://127.0.0.1:{port}/flash"
        rig.action = http.make({"url": url, "token_file": str(token), "every": 0.05})
        yield rig
        await rig.action.close()
        await runner.cleanup()

    async def test_a_repeat_can_be_told_and_a_token_is_shown(self, rig: Service) -> None:
        await rig.action.run(job(), soon(10))
        await rig.action.run(job(), soon(10))
        assert rig.keys == [job().run_id] * 2
        assert rig.tokens == ["Bearer geheim"] * 2

    async def test_what_takes_longer_is_asked_after(self, rig: Service) -> None:
        rig.mood = "later"
        assert await rig.action.run(job(), soon(10)) == Done("flashed in the end")
        assert (len(rig.bodies), rig.asked) == (1, 3)

    async def test_nobody_else_is_asked(self, rig: Service) -> None:
        rig.mood, rig.location = "later", "http://169.254.169.254/"
        outcome = await rig.action.run(job(), soon(10))
        assert outcome == NotDone("http://169.254.169.254 is another service than was called")

    async def test_a_bad_moment_is_outlived(self, rig: Service) -> None:
        rig.mood, rig.busy = "busy", 2
        assert await rig.action.run(job(), soon(10)) == Done("")
        assert len(rig.bodies) == 3

    async def test_a_service_that_is_not_there_is_said(self) -> None:
        action = http.make({"url": "http://127.0.0.1:9/", "every": 0.05})
        outcome = await action.run(job(), soon(0.5))
        await action.close()
        assert isinstance(outcome, NotDone)
        assert outcome.detail.startswith("not done in time: no answer: ")
        assert "refused" in outcome.detail


@pytest.mark.parametrize(
    ("make", "settings", "said"),
    [
        pytest.param(command.make, {}, "missing required field `command`", id="no-command"),
        pytest.param(command.make, {"command": []}, "command: ", id="empty"),
        pytest.param(command.make, {"command": ["./act"]}, "command\\[0\\]: name a program", id="relative"),
        pytest.param(command.make, {"command": "reboot"}, "command: Expected `array`", id="a-line"),
        pytest.param(
            command.make, {"command": ["a"], "environment": {"API_TOKEN": "x"}}, "is a secret", id="secret"
        ),
        pytest.param(
            command.make, {"command": ["a"], "environment": {"DOCTOR_HOST": "x"}}, "DOCTOR_HOST", id="ours"
        ),
        pytest.param(command.make, {"command": ["a", "\0"]}, "command\\[1\\]", id="nul"),
        pytest.param(command.make, {"command": ["a"], "shell": True}, "unknown field `shell`", id="unknown"),
        pytest.param(http.make, {"url": "ftp://x/"}, "url: is no web address", id="scheme"),
        pytest.param(http.make, {"url": "http://me:pw@x/"}, "use token_file", id="password"),
        pytest.param(http.make, {"url": "http://x/", "every": 0}, "every: ", id="every"),
        pytest.param(
            http.make, {"url": "http://x/", "token_file": "/nowhere/t"}, "token_file: /nowhere/t", id="token"
        ),
        pytest.param(
            http.make, {"url": "http://x/", "ca_file": "/nowhere/ca"}, "ca_file: /nowhere/ca", id="ca"
        ),
        pytest.param(
            ansible.make,
            {"playbook_file": "/nowhere/p", "inventory_file": "/"},
            "playbook_file: /nowhere/p",
            id="playbook",
        ),
        pytest.param(
            ansible.make,
            {"playbook_file": "/", "inventory_file": "/", "variables": {"doctor": 1}},
            "variables.doctor",
            id="our-variable",
        ),
        pytest.param(
            ansible.make,
            {"playbook_file": "/", "inventory_file": "/", "program": "bin/ansible"},
            "program: ",
            id="program",
        ),
    ],
)
def test_what_is_wrong_with_settings_is_said(make: Any, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make(settings)


def test_content_without_hosts_is_no_success() -> None:
    """Ansible ends with 0 where no host matches."""
    assert isinstance(ansible.judged(program.Finished(0, "skipping: no hosts matched", ""), None), NotDone)
