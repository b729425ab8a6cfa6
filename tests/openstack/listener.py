"""Listens on the bus with OpenStack's own library, and prints what it hears: JSON, a line for each message.

Run by the distribution's Python, to which the library belongs: `listener.py URL EXCHANGE TOPIC`.
"""

import json
import sys
import time
from threading import Lock
from typing import Any

import oslo_messaging  # type: ignore[import-not-found] # of the distribution
from oslo_config import cfg  # type: ignore[import-not-found]


class Heard:
    """What oslo.messaging calls, from several threads."""

    lock = Lock()

    def info(
        self, ctxt: Any, publisher_id: str, event_type: str, payload: Any, metadata: dict[str, str]
    ) -> None:
        """Print a notification."""
        heard = {"publisher_id": publisher_id, "event_type": event_type, "payload": payload, **metadata}
        with self.lock:
            print(json.dumps(heard), flush=True)


def main(url: str, exchange: str, topic: str) -> None:
    """Listen until killed; the first line is `listening`."""
    transport = oslo_messaging.get_notification_transport(cfg.ConfigOpts(), url=url)
    target = oslo_messaging.Target(exchange=exchange, topic=topic)
    listener = oslo_messaging.get_notification_listener(transport, [target], [Heard()], executor="threading")
    listener.start()
    print("listening", flush=True)
    while True:
        time.sleep(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
