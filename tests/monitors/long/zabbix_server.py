"""A real Zabbix on loopback: its database, its server, its frontend by PHP's own server, and what sends values to it."""

import gzip
import json
import os
import pwd
import shutil
import socket
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

from doctor.cli.demo.simulator import Program
from doctor.cli.monitor_setup.zabbix import Refused, Zabbix
from doctor.testing.running import free_port

PHP_FILES = Path("/usr/share/zabbix")
SQL_FILES = Path("/usr/share/zabbix-server-pgsql")
ADMIN, PASSWORD = "Admin", "zabbix"

SERVER = """\
AllowRoot=1
ListenIP=127.0.0.1
ListenPort={port}
LogType=console
PidFile={folder}/pid
SocketDir={folder}
DBHost=127.0.0.1
DBPort={database}
DBName=zabbix
DBUser=zabbix
CacheUpdateFrequency=1
StartPollers=1
StartPollersUnreachable=1
StartTrappers=1
StartPingers=1
StartDiscoverers=1
StartHTTPPollers=1
StartAlerters=2
StartDBSyncers=1
StartPreprocessors=1
StartTimers=1
StartEscalators=1
StartLLDProcessors=1
"""

FRONTEND = """<?php
global $DB;
$DB['TYPE'] = 'POSTGRESQL';
$DB['SERVER'] = '127.0.0.1';
$DB['PORT'] = '{database}';
$DB['DATABASE'] = 'zabbix';
$DB['USER'] = 'zabbix';
$DB['PASSWORD'] = '';
$DB['SCHEMA'] = '';
$DB['ENCRYPTION'] = false;
$DB['DOUBLE_IEEE754'] = true;
$ZBX_SERVER_NAME = 'test';
"""


class Database(Program):
    """PostgreSQL with Zabbix's tables."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self._programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
        os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)

    def start(self) -> None:
        data = str(self.folder / "data")
        if not Path(data).exists():
            self._run("initdb", "-D", data, "-A", "trust", "-U", "zabbix", "--no-sync")
        self._launch(
            *self._as_postgres("postgres"),
            *("-D", data, "-p", str(self.port), "-k", str(self.folder), "-c", "listen_addresses=127.0.0.1"),
            *("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off"),
        )
        self._wait(lambda: self._sql("SELECT 1", "postgres").returncode == 0)
        if self._sql("CREATE DATABASE zabbix", "postgres").returncode == 0:
            for name in ("schema", "images", "data"):
                done = self._sql(gzip.decompress((SQL_FILES / f"{name}.sql.gz").read_bytes()).decode())
                assert done.returncode == 0, done.stderr[-500:]

    def stop(self) -> None:
        """End it in good order: its processes would outlive a kill."""
        if self._process is not None:
            self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "stop")
        super().stop()

    def _as_postgres(self, program: str) -> tuple[str, ...]:
        return ("setpriv", "--reuid=postgres", "--clear-groups", str(self._programs / program))

    def _run(self, program: str, *words: str) -> None:
        subprocess.run([*self._as_postgres(program), *words], check=True, capture_output=True, timeout=60)

    def _sql(self, text: str, database: str = "zabbix") -> "subprocess.CompletedProcess[str]":
        words = (
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-U",
            "zabbix",
            database,
        )
        command = [str(self._programs / "psql"), *words]
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=200, check=False)


def low_port() -> int:
    """Return a free port that Zabbix takes: it must be below 32768, where the others are."""
    for port in range(20_000 + os.getpid() % 10_000, 32_767):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


class Server(Program):
    """The server."""

    def __init__(self, folder: Path, database: int) -> None:
        super().__init__(folder)
        self.port = low_port()
        (folder / "server.conf").write_text(SERVER.format(port=self.port, folder=folder, database=database))

    def start(self) -> None:
        self._launch("zabbix_server", "-f", "-c", str(self.folder / "server.conf"))
        self._wait(self._answers)

    def stop(self) -> None:
        """End it in good order: it has many processes."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
        super().stop()

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def send(self, host: str, key: str, value: object) -> bool:
        """Send a value as zabbix_sender does; tell whether it was taken."""
        data = json.dumps(
            {"request": "sender data", "data": [{"host": host, "key": key, "value": str(value)}]}
        ).encode()
        with socket.create_connection(("127.0.0.1", self.port), 5) as line:
            line.sendall(b"ZBXD\x01" + struct.pack("<II", len(data), 0) + data)
            answer = line.makefile("rb").read()
        return b"processed: 1" in answer


class Frontend(Program):
    """What has the API."""

    def __init__(self, folder: Path, database: int) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        shutil.copytree(PHP_FILES, folder / "www", symlinks=False, ignore_dangling_symlinks=True)
        configuration = folder / "zabbix.conf.php"
        configuration.write_text(FRONTEND.format(database=database))
        reader = folder / "www/include/classes/core/CConfigFile.php"
        lines = reader.read_text().splitlines()
        lines = [
            f"const CONFIG_FILE_PATH = '{configuration}';" if "const CONFIG_FILE_PATH" in line else line
            for line in lines
        ]
        text = "\n".join(lines).replace("APP::getRootDir().self::CONFIG_FILE_PATH", "self::CONFIG_FILE_PATH")
        reader.write_text(text)

    def start(self) -> None:
        self._launch("php", "-S", f"127.0.0.1:{self.port}", "-t", str(self.folder / "www"))
        self._wait(self._answers)

    def _answers(self) -> bool:
        try:
            return self.admin().version >= (6, 0)
        except (Refused, ValueError):
            return False

    def admin(self) -> Zabbix:
        """Return its API as its administrator sees it."""
        return Zabbix(self.url, user=ADMIN, password=PASSWORD)
