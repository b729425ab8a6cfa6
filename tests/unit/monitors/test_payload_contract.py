"""The payloads that ship keep their contract."""

import pytest

from doctor.drivers.monitors.alertmanager.payload import payload as alertmanager
from doctor.drivers.monitors.collectd.payload import payload as collectd
from doctor.drivers.monitors.masakari.payload import payload as masakari
from doctor.drivers.monitors.ves.payload import payload as ves
from doctor.drivers.monitors.zabbix.payload import payload as zabbix
from doctor.testing.contracts.payload import PayloadContract
from tests.unit.monitors.payloads import sample
from tests.unit.monitors.test_masakari_payload import process
from tests.unit.monitors.test_ves_payload import fault


@pytest.mark.shows("payload alertmanager", "contract", "bad input")
class TestAlertmanager(PayloadContract):
    payload = alertmanager
    begins = sample("prometheus/alertmanager_webhook_firing.json")
    ends = sample("prometheus/alertmanager_webhook_resolved.json")


@pytest.mark.shows("payload collectd", "contract", "bad input")
class TestCollectd(PayloadContract):
    payload = collectd
    begins = sample("collectd/write_http_notification_connectivity_down.json")
    ends = sample("collectd/write_http_notification_connectivity_up.json")


@pytest.mark.shows("payload zabbix", "contract", "bad input")
class TestZabbix(PayloadContract):
    payload = zabbix
    begins = sample("zabbix/webhook_problem.json")
    ends = sample("zabbix/webhook_recovery.json")


@pytest.mark.shows("payload ves", "contract", "bad input")
class TestVes(PayloadContract):
    payload = ves
    begins = fault()
    ends = fault(eventSeverity="NORMAL", specificProblem="the fan turns again")


@pytest.mark.shows("payload masakari", "contract", "bad input")
class TestMasakari(PayloadContract):
    payload = masakari
    begins = process("STOPPED")
    ends = process("STARTED")
