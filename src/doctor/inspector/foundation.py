"""Whether the policy still has a rule behind what was concluded.

A fault that an event has raised ends by an event. A derived one ends by the rule that made it: when no rule judges its
type any more, nobody would ever end it.
"""

from doctor.inspector.suspicion import DOMAIN_FAULT, suspected_type
from doctor.inspector.vantage import MONITOR_ISOLATED
from doctor.inspector.zones import QUESTION, ZONE_FAULT
from doctor.model.alarm import AlarmedFault
from doctor.model.alarm_book import AlarmBook
from doctor.model.fault import Fault
from doctor.model.policy import FailurePolicy


def is_founded(fault: Fault, policy: FailurePolicy) -> bool:
    """Tell whether the policy has a rule that would end the fault; a rule may have got another name."""
    return (
        not fault.is_derived
        or any(rule.fault_type == fault.fault_type for rule in policy.aggregate)
        or any(suspected_type(rule.supplier_type) == fault.fault_type for rule in policy.suspect)
        or (policy.storm is not None and fault.fault_type == DOMAIN_FAULT)
        or (policy.self_isolation is not None and fault.fault_type == MONITOR_ISOLATED)
        or (
            fault.fault_type in (QUESTION, ZONE_FAULT)
            and any(level.type == fault.resource_type for level in policy.zones)
        )
    )


def unfounded(book: AlarmBook, policy: FailurePolicy) -> list[AlarmedFault]:
    """Return the open faults that no rule stands behind."""
    return [record for record in book if not is_founded(record.fault, policy)]
