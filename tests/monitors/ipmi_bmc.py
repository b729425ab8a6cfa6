"""A BMC with sensors and a log: OpenIPMI's ipmi_sim, which reads temperatures from files."""

import subprocess
from pathlib import Path

from doctor.cli.demo.bmc import EMULATION
from tests.fences.bmc import Bmc

SUPPLY = 100  # the number of the sensor of a power supply
MEMORY = 101
COOL, WARM, HOT = 30, 75, 92

TEMPERATURE_SDR = """\
sdr type 1
	sensor_owner_id		0x20
	sensor_owner_lun	0
	channel_number		0
	sensor_number		{number}
	entity_id		system_board
	entity_instance		{number}
	sensor_type		Temperature
	init_scanning		true
	init_sensor_type	true
	default_sensor_scan_on	true
	event_reading_type_code	1
	analog_data_format	unsigned
	rate_unit		none
	modifier_unit		none
	percentage		false
	base_unit		degrees_C
	modifier_unit_code	unspecified
	linearization		linear
	m			1
	tolerance		0
	b			0
	accuracy		1
	accuracy_exp		0
	sensor_direction	input
	r_exp			0
	b_exp			0
	sensor_maximum		255
	sensor_minimum		0
	id_string		"Inlet Temp {number}"
endsdr
"""

DISCRETE_SDR = """\
sdr type 2
	sensor_owner_id		0x20
	sensor_owner_lun	0
	channel_number		0
	sensor_number		{number}
	entity_id		{entity}
	entity_instance		1
	sensor_type		{kind}
	event_reading_type_code	0x6f
	event0_state_ret	true
	assert_event0		true
	deassert_event0		true
	event1_state_ret	true
	assert_event1		true
	deassert_event1		true
	id_string		"{name}"
endsdr
"""

ALL, NONE = "000111111000000", "000000000000000"
TEMPERATURE = """\
sensor_add 0x20 0 {number} 0x01 0x01 poll 100 file "{file}"
sensor_set_threshold 0x20 0 {number} settable 111000 0x60 0x5a 0x46 00 00 00
sensor_set_event_support 0x20 0 {number} enable scanning per-state {all} {all} {all} {all}
"""
DISCRETE = """\
sensor_add 0x20 0 {number} {kind:#04x} 0x6f
sensor_set_bit_clr_rest 0x20 0 {number} {there} 0
sensor_set_event_support 0x20 0 {number} enable scanning per-state {all} {all} {all} {all}
"""


class SensorBmc(Bmc):
    """One with so many temperatures, a power supply and a memory module. ``is_logged``: temperatures go into the log too."""

    def __init__(self, folder: Path, temperatures: int = 3, *, is_logged: bool = True) -> None:
        super().__init__(folder)
        self.temperatures = temperatures
        discrete = [(SUPPLY, "Power_Supply", 0x08, "PSU1 Status", "power_supply", 0)]
        discrete += [(MEMORY, "Memory", 0x0C, "DIMM A1 Status", "memory_device", 6)]
        numbers = range(1, temperatures + 1)
        descriptions = [TEMPERATURE_SDR.format(number=number) for number in numbers]
        descriptions += [
            DISCRETE_SDR.format(number=number, kind=kind, name=name, entity=entity)
            for number, kind, _, name, entity, _ in discrete
        ]
        emulation = [
            TEMPERATURE.format(number=one, file=self._file(one), all=ALL if is_logged else NONE)
            for one in numbers
        ]
        emulation += [
            DISCRETE.format(number=number, kind=code, there=there, all="000000000111111")
            for number, _, code, _, _, there in discrete
        ]
        for number in numbers:
            self.measure(number, COOL)
        (folder / "bmc.sdrs").write_text("".join(descriptions))
        (folder / "bmc.emu").write_text(EMULATION.replace("mc_enable", "".join(emulation) + "mc_enable"))

    def _file(self, number: int) -> Path:
        return self.folder / f"temperature{number}"

    def start(self) -> None:
        """Start it with descriptions of its sensors."""
        state = self.folder / "state" / "ipmi_sim" / "bmc"
        state.mkdir(parents=True, exist_ok=True)
        command = ["sdrcomp", "-o", str(state / "sdr.20.main"), "bmc.sdrs"]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
        super().start()

    def measure(self, number: int, celsius: int) -> None:
        """Let a sensor read so much."""
        new = self.folder / "new"
        new.write_text(f"{celsius}\n")
        new.replace(self._file(number))

    def heat(self, number: int) -> None:
        """Let so many sensors be hot."""
        for one in range(1, self.temperatures + 1):
            self.measure(one, HOT if one <= number else COOL)

    def say(self, sensor: int, offset: int, *, is_so: bool = True) -> None:
        """Let a sensor show a state or not, and write into the log that it does."""
        self.command(f"sensor_set_bit 0x20 0 {sensor} {offset} {int(is_so)} 1")

    def command(self, line: str) -> None:
        """Type something at its console."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def ipmitool(self, *words: str) -> str:
        """Do something with its log as a person would."""
        from doctor.cli.demo.bmc import PASSWORD, USER

        command = [
            "ipmitool",
            "-I",
            "lanplus",
            "-C",
            "3",
            "-H",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-L",
            "OPERATOR",
        ]
        done = subprocess.run(
            [*command, "-U", USER, "-P", PASSWORD, *words],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return done.stdout
