"""The way of reports to Doctor: a thread with a connection that is kept, so that nothing else of the agent waits for it."""

import random
import threading
import time
from pathlib import Path
from typing import Any

from doctor.agent.log import log
from doctor.agent.report import Report
from doctor.agent.spool import Spool, load, save
from doctor.client.errors import ApiError, ClientError, Unreachable
from doctor.client.http import Client
from doctor.kit.retry import delay_before

EVENTS = "/v1/events"
MOST_AT_ONCE = 100
LOOK_EVERY = 0.25  # seconds: for what was held back by its allowance
SAVE_EVERY = 1.0
LONGEST_DELAY = 10.0
KEEP_WARM = (
    30.0  # seconds without a word, after which the connection is used, so that it is there when it is needed
)
END_WITHIN = 2.0
WRONG = frozenset({400, 413, 422})  # the events themselves are refused; all else may pass


class Sending:
    """Sends what is handed to it, in order, and keeps on disk what Doctor does not take."""

    def __init__(self, host: str, client: Client, file: Path, most: int) -> None:
        self._client = client
        self._file = file
        self._spool = Spool(host, most)
        self._bell = threading.Condition()
        self._is_over = False
        self._failures = 0
        self._saved = 0
        self._saved_at = 0.0
        self._is_on_disk = False
        self._used_at = 0.0
        self._thread = threading.Thread(target=self._run, name="sending", daemon=True)

    def start(self) -> None:
        """Begin, with what waited on disk."""
        waited = load(self._file)
        for report in waited:
            self._spool.add(report)
        self._is_on_disk = self._file.exists()
        if waited:
            log.info("events.waited", count=len(waited))
        self._thread.start()

    def say(self, report: Report) -> None:
        """Hand over a report. It does not block."""
        with self._bell:
            self._spool.add(report)
            self._bell.notify()

    def stop(self) -> None:
        """Send what can be sent in a short time, keep the rest on disk, and end."""
        with self._bell:
            self._is_over = True
            self._bell.notify()
        self._thread.join()

    def _run(self) -> None:
        end: float | None = None
        while True:
            with self._bell:
                batch = self._spool.take(MOST_AT_ONCE, time.monotonic())
                if not batch and not self._is_over:
                    self._bell.wait(LOOK_EVERY if len(self._spool) else KEEP_WARM)
                    batch = self._spool.take(MOST_AT_ONCE, time.monotonic())
                if self._is_over and end is None:
                    end = time.monotonic() + END_WITHIN
            if batch:
                self._send(batch)
            elif not self._is_over and time.monotonic() > self._used_at + KEEP_WARM:
                self._keep_warm()
            self._save()
            if end is not None and (not batch or self._failures or time.monotonic() > end):
                break
            if self._failures:
                self._wait()
        self._save(is_last=True)
        self._client.close()

    def _send(self, batch: dict[int, Report]) -> None:
        events = [{"event": _written(report)} for report in batch.values()]
        try:
            answer = self._client.post(EVENTS, {"events": events})
        except ClientError as error:
            if isinstance(error, ApiError) and error.status in WRONG:
                self._leave_out(batch, error)
                return
            self._failures += 1
            with self._bell:
                self._spool.put_back(batch)
            log.repeat("events.not_sent", error=str(error), waiting=len(self._spool))
            return
        self._used_at = time.monotonic()
        if self._failures:
            log.info("events.sent_again", after_failures=self._failures)
        self._failures = 0
        for rejected in (answer or {}).get("rejected", ()):
            log.repeat("events.rejected", rejected=events[rejected["index"]], errors=rejected.get("errors"))
        with self._bell:
            self._spool.done(batch)

    def _leave_out(self, batch: dict[int, Report], error: ApiError) -> None:
        """Forget events that Doctor cannot read: they would stand before all others for ever."""
        log.repeat("events.refused", count=len(batch), error=str(error))
        with self._bell:
            self._spool.done(batch)

    def _keep_warm(self) -> None:
        self._used_at = time.monotonic()
        try:
            self._client.send("GET", "/healthz", b"", content_type="application/json")
        except Unreachable as error:
            log.repeat("doctor.unreachable", error=str(error))
        except ApiError:
            pass  # it answers, and that is all there was to know

    def _wait(self) -> None:
        """Wait before the next attempt, without using up attempts by news that comes meanwhile."""
        delay = min(delay_before(min(self._failures + 1, 9)), LONGEST_DELAY) * random.uniform(0.8, 1.2)
        end = time.monotonic() + delay
        with self._bell:
            while not self._is_over and (left := end - time.monotonic()) > 0:
                self._bell.wait(left)

    def _save(self, *, is_last: bool = False) -> None:
        """Keep on disk what Doctor has not taken; while it takes everything at once the disk has nothing to do."""
        with self._bell:
            version, reports = self._spool.version, self._spool.reports
        now = time.monotonic()
        if not reports:
            if self._is_on_disk:
                self._file.unlink(missing_ok=True)
                self._is_on_disk = False
            return
        is_due = is_last or (self._failures > 0 and now >= self._saved_at + SAVE_EVERY)
        if not is_due or (version == self._saved and self._is_on_disk):
            return
        self._saved_at = now
        try:
            save(self._file, reports)
        except OSError as error:
            log.repeat("events.not_kept", file=str(self._file), error=str(error))
        else:
            self._saved, self._is_on_disk = version, True


def _written(report: Report) -> dict[str, Any]:
    return {"time": report.time.isoformat(), "type": report.type, "details": report.details}
