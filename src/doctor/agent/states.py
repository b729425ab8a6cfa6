"""What was said of each thing that a source looks at again and again: only a change is news."""

from collections.abc import Callable

from doctor.agent.report import DOWN, UP, Report, Reporter

Say = Callable[[Report], None]


class States:
    """Says changes. What is well when it is seen first is said once, so that an alarm of before ends."""

    def __init__(self, reporter: Reporter, say: Say) -> None:
        self._reporter = reporter
        self._say = say
        self._said: dict[tuple[str, str], str] = {}

    def tell(
        self,
        kind: str,
        part: str,
        trouble: str | None,
        *,
        status: str = DOWN,
        resource_type: str | None = None,
        resource_id: str | None = None,
        **details: object,
    ) -> None:
        """Take note of how a part is; ``trouble`` is a sentence, None when it is well. Another sentence is no change."""
        now = UP if trouble is None else status
        if self._said.get((kind, part)) == now:
            return
        self._said[kind, part] = now
        cause = trouble or "it is well"
        self._say(
            self._reporter.report(
                kind,
                now,
                cause,
                part=part,
                resource_type=resource_type,
                resource_id=resource_id,
                **details,
            )
        )
