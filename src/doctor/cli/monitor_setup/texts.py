"""What goes into the configuration of Prometheus, Alertmanager, collectd, and of devices that speak SNMP."""

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

SNMP = """\
# doctor.yaml: two files that only Doctor may read, with the two passwords (8 characters or more)
#
#   monitors:
#     - driver: snmp
#       listen: "{host}:162"
#       users: [{{name: doctor, auth: sha256, auth_file: snmp.auth, privacy: aes, privacy_file: snmp.privacy}}]
#       poll: {{user: doctor, every: 30}}
#
# and the addresses of the devices in the resource map.

# --- net-snmp: snmpd.conf (chmod 600: the passwords stand in it) ---
createUser doctor SHA-256 "AUTH" AES "PRIVACY"
rouser doctor authPriv
iquerySecName doctor
trapsess -v3 -u doctor -a SHA-256 -A AUTH -x AES -X PRIVACY -l authPriv {host}:162
authtrapenable 1
notificationEvent linkUpTrap 1.3.6.1.6.3.1.1.5.4 1.3.6.1.2.1.2.2.1.1 1.3.6.1.2.1.2.2.1.7 1.3.6.1.2.1.2.2.1.8
notificationEvent linkDownTrap 1.3.6.1.6.3.1.1.5.3 1.3.6.1.2.1.2.2.1.1 1.3.6.1.2.1.2.2.1.7 1.3.6.1.2.1.2.2.1.8
monitor -r 1 -e linkUpTrap "linkUp" 1.3.6.1.2.1.2.2.1.8 != 2
monitor -r 1 -e linkDownTrap "linkDown" 1.3.6.1.2.1.2.2.1.8 == 2

# --- Cisco IOS and IOS-XE (sha is all that many have: then auth: sha above) ---
snmp-server group doctor v3 priv
snmp-server user doctor doctor v3 auth sha AUTH priv aes 128 PRIVACY
snmp-server host {host} version 3 priv doctor
snmp-server enable traps snmp linkdown linkup coldstart warmstart
snmp-server enable traps envmon
snmp ifmib ifindex persist

# --- Arista EOS ---
snmp-server group doctor v3 priv
snmp-server user doctor doctor v3 auth sha AUTH priv aes PRIVACY
snmp-server host {host} version 3 priv doctor
snmp-server enable traps
"""

TEXTS = {"prometheus": PROMETHEUS, "alertmanager": ALERTMANAGER, "collectd": COLLECTD, "snmp": SNMP}


def text_for(source: str, url: str, token_file: str) -> str:
    """Return the configuration by which a source reports to the Doctor at this address."""
    parts = urlsplit(url)
    address = parts.netloc if parts.port else f"{parts.netloc}:{443 if parts.scheme == 'https' else 80}"
    return TEXTS[source].format(
        url=url.rstrip("/"),
        address=address,
        host=parts.hostname,
        scheme=parts.scheme,
        token_file=token_file,
    )
