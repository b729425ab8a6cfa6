"""collectd: the notifications that its plug-in write_http pushes."""
