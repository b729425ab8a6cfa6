"""What snmpd asks, by its pass_persist protocol: ``python snmp_answers.py FOLDER``. It is started often, and imports little."""

import sys
import time
from pathlib import Path

OUTLET, LABEL, PORT = "7", "compute-1", "ge-0/0/7"

OUTLET_STATUS, OUTLET_CONTROL = ".1.3.6.1.4.1.318.1.1.12.3.5.1.1.4.7", ".1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.7"
OUTLET_NAME = ".1.3.6.1.4.1.318.1.1.12.3.5.1.1.2.7"
PORTS = ".1.3.6.1.2.1.2.2.1"
PORT_NAMES = ".1.3.6.1.2.1.31.1.1.1"
ADMIN, OPERATION = f"{PORTS}.7.42", f"{PORTS}.8.42"


def serve(folder: Path) -> None:
    """Answer snmpd, which asks by lines."""
    values: dict[str, tuple[str, str]] = {
        OUTLET_NAME: ("string", LABEL),
        f"{PORTS}.2.41": ("string", "ge-0/0/6"),
        f"{PORTS}.2.42": ("string", PORT),
        f"{PORT_NAMES}.1.41": ("string", "ge-0/0/6"),
        f"{PORT_NAMES}.1.42": ("string", PORT),
        f"{PORT_NAMES}.18.42": ("string", LABEL),
    }

    def value_of(name: str) -> tuple[str, str] | None:
        if name in (OUTLET_STATUS, OUTLET_CONTROL, ADMIN, OPERATION):
            lie, late = folder / "lie", folder / "late"
            if late.exists() and float(late.read_text().split()[0]) < time.time():
                (folder / "power").write_text(late.read_text().split()[1])
                late.unlink()
            is_on = (lie if lie.exists() else folder / "power").read_text() == "1"
            return "integer", "1" if is_on else "2"
        return values.get(name)

    names = sorted(
        (OUTLET_STATUS, OUTLET_CONTROL, ADMIN, OPERATION, *values),
        key=lambda name: [int(part) for part in name.split(".")[1:]],
    )

    def after(name: str) -> str | None:
        parts = [int(part) for part in name.split(".")[1:]]
        return next((one for one in names if [int(part) for part in one.split(".")[1:]] > parts), None)

    def change(name: str, value: str) -> str:
        with (folder / "commands").open("a") as commands:
            commands.write(f"{name} {value}\n")
        state = "1" if value == "1" else "0"
        mode = (folder / "mode").read_text()
        if mode == "slow":
            (folder / "late").write_text(
                f"{time.time() + 0.7} {state}"
            )  # snmpd may end this process meanwhile
        elif mode == "lying":
            (folder / "lie").write_text(state)
        elif mode != "stuck":
            (folder / "power").write_text(state)
        return "not-writable" if mode == "contrary" else "DONE"

    while line := sys.stdin.readline():
        match line.strip():
            case "PING":
                answer = "PONG"
            case "set":
                name, value = sys.stdin.readline().strip(), sys.stdin.readline().split()[-1]
                answer = change(name, value) if name in (OUTLET_CONTROL, ADMIN) else "not-writable"
            case "get" | "getnext" as asked:
                wanted: str | None = sys.stdin.readline().strip()
                if asked == "getnext":
                    wanted = after(wanted or "")
                found = value_of(wanted or "")
                answer = f"{wanted}\n{found[0]}\n{found[1]}" if found else "NONE"
            case _:
                answer = "NONE"
        print(answer, flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
