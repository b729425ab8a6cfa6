"""Whether the word of persons is enough to say that a host is off, where no device could."""

from collections.abc import Sequence
from datetime import timedelta

from doctor.fencing.limits import Limits
from doctor.fencing.machine import may_return_at
from doctor.model.errors import Flaw
from doctor.model.fence_job import FenceJob, Statement, Word

MOST_TEXT = 1000


def flaws_of(job: FenceJob, typed: str, word: Word, life: Sequence[Statement], limits: Limits) -> list[Flaw]:
    """Return what is missing in what a person says; ``typed`` is the host as he wrote it, no alias will do."""
    flaws = []
    if typed != job.host:
        flaws.append(Flaw("/host", f"is not the name of the host: type {job.host!r}"))
    for name, text in (("by", word.by), ("reason", word.reason)):
        if not text.strip() or not text.isprintable() or len(text) > MOST_TEXT:
            flaws.append(Flaw(f"/{name}", "required: one line of text"))
    if (early := may_return_at(job, limits.longest_command) - word.time) > timedelta(0):
        seconds = round(early.total_seconds()) + 1
        flaws.append(Flaw("/host", f"a command may still be on its way to it: wait {seconds} s"))
    if life:
        flaws.append(Flaw("/host", f"{life[0].reporter} sees it alive: it is not off"))
    if limits.second_person:
        for before in job.words:
            if before.by.strip().casefold() == word.by.strip().casefold():
                flaws.append(Flaw("/by", f"{before.by} has said so already: a second person has to"))
            elif before.account == word.account:
                detail = f"{before.by} has said so with the same token: a second person has one of his own"
                flaws.append(Flaw("/by", detail))
    return flaws


def is_enough(words: Sequence[Word], limits: Limits) -> bool:
    """Tell whether so many have said so."""
    return len(words) >= (2 if limits.second_person else 1)
