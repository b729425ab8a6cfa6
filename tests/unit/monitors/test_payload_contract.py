"""The payloads that ship keep their contract."""

from doctor.drivers.monitors.alertmanager.payload import payload as alertmanager
from doctor.drivers.monitors.collectd.payload import payload as collectd
from doctor.drivers.monitors.zabbix.payload import payload as zabbix
from doctor.testing.contracts.payload import PayloadContract
from tests.unit.monitors.payloads import sample
from tests.unit.monitors.test_zabbix_payload import problem


class TestAlertmanager(PayloadContract):
    payload = alertmanager
    begins = sample("prometheus/alertmanager_webhook_firing.json")
    ends = sample("prometheus/alertmanager_webhook_resolved.json")


class TestCollectd(PayloadContract):
    payload = collectd
    begins = sample("collectd/write_http_notification_connectivity_down.json")
    ends = sample("collectd/write_http_notification_connectivity_up.json")


class TestZabbix(PayloadContract):
    payload = zabbix
    begins = problem()
    ends = problem(value="0", time="2026-11-21T00:58:49.000Z")
