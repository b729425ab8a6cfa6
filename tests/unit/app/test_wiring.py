"""What the settings name becomes objects, or is refused with the place."""

from pathlib import Path

import pytest

from doctor.app.settings import parse_settings
from doctor.app.wiring import wire
from doctor.model.errors import RejectedError


async def test_two_places_to_look_from_need_two_names(tmp_path: Path) -> None:
    twice = {"data": str(tmp_path), "monitors": [{"driver": "ping"}, {"driver": "ping", "interval": 1}]}
    with pytest.raises(RejectedError) as refused:
        wire(parse_settings(twice))
    assert [flaw.pointer for flaw in refused.value.flaws] == ["monitors[1]"]
    twice["monitors"] = [{"driver": "ping"}, {"driver": "ping", "vantage": "oob"}]
    assert [monitor.name for monitor in wire(parse_settings(twice)).monitors] == ["ping", "oob"]
