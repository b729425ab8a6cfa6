"""What a Consumer or a tool uses to talk to Doctor; stands alone.

Asking Doctor::

    from doctor.client import Client

    with Client("https://doctor.example:12345", token) as doctor:
        for fault in doctor.items("/v1/faults", min_severity="major"):
            print(fault["virtual_resource_id"])

Being told by Doctor, in whatever web server you run::

    from doctor.client import Inbox, Repeat, verify

    verify(request.headers, request.body, secret)      # raises SignatureError: answer 401
    message = json.loads(request.body)
    match inbox.take(message):
        case Repeat():
            pass                                       # seen before: answer 200 once more
        case Fresh(gap=gap):
            ...                                        # switch over; a gap says what to ask for
"""

from doctor.client.access import DEFAULT_URL, Access, find_access
from doctor.client.consumer import Fresh, Gap, Inbox, Repeat, SignatureError, sign, verify
from doctor.client.errors import ApiError, ClientError, Flaw, Misconfigured, Unreachable
from doctor.client.http import Client
from doctor.client.stream import ServerSentEvent

__all__ = [
    "DEFAULT_URL",
    "Access",
    "ApiError",
    "Client",
    "ClientError",
    "Flaw",
    "Fresh",
    "Gap",
    "Inbox",
    "Misconfigured",
    "Repeat",
    "ServerSentEvent",
    "SignatureError",
    "Unreachable",
    "find_access",
    "sign",
    "verify",
]
