"""What goes into the configuration of Prometheus, Alertmanager and collectd."""

from urllib.parse import urlsplit

PROMETHEUS = """\
# prometheus.yml: Doctor in the place of an Alertmanager, beside any other
alerting:
  alertmanagers:
    - static_configs: [{{targets: ["{address}"]}}]
      scheme: {scheme}
      authorization: {{credentials_file: {token_file}}}

# a file of rules: doctor_type is what Doctor calls it, host what it is about
groups:
  - name: doctor
    interval: 1s
    rules:
      - alert: HostDown
        expr: up{{job="node"}} == 0
        labels: {{severity: critical, doctor_type: compute.host.down, host: "{{{{ $labels.instance }}}}"}}
      - alert: Watchdog # fires always: if it stays away, Doctor says that Prometheus is silent
        expr: vector(1)
        labels: {{severity: none}}
"""

ALERTMANAGER = """\
# alertmanager.yml
receivers:
  - name: doctor
    webhook_configs:
      - url: {url}/v1/monitors/alertmanager
        send_resolved: true
        http_config: {{authorization: {{credentials_file: {token_file}}}}}
route:
  receiver: doctor
  group_by: ["..."] # each alert by itself
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1h

# doctor.yaml: what the webhook loses is found within half a minute by asking
#
#   monitors:
#     - {{driver: alertmanager, url: "http://127.0.0.1:9093", source: NAME_OF_THE_TOKEN, every: 30}}
"""

COLLECTD = """\
# collectd.conf
LoadPlugin write_http
<Plugin write_http>
  <Node "doctor">
    URL "{url}/v1/monitors/collectd"
    Header "Authorization: Bearer TOKEN" # what is in {token_file}
    Format JSON
    Metrics false
    Notifications true
  </Node>
</Plugin>
"""

TEXTS = {"prometheus": PROMETHEUS, "alertmanager": ALERTMANAGER, "collectd": COLLECTD}


def text_for(source: str, url: str, token_file: str) -> str:
    """Return the configuration by which a source reports to the Doctor at this address."""
    parts = urlsplit(url)
    address = parts.netloc if parts.port else f"{parts.netloc}:{443 if parts.scheme == 'https' else 80}"
    return TEXTS[source].format(
        url=url.rstrip("/"), address=address, scheme=parts.scheme, token_file=token_file
    )
