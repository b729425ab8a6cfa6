"""Every record that is kept can be written as MessagePack and read back equal."""

import types
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doctor.model.alarm import AlarmedFault
from doctor.model.checkpoint import Timeline
from doctor.model.identity import Token
from doctor.model.notification import Notification
from doctor.model.subscription import Subscription
from doctor.ports.store import Change, Snapshot, StoredPolicy

WHOLE_NUMBERS = st.integers(-(2**63), 2**63 - 1)
PLAIN = st.none() | st.booleans() | WHOLE_NUMBERS | st.floats(allow_nan=False) | st.text(max_size=5)
DETAILS = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=10),
    int: WHOLE_NUMBERS,
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    bytes: st.binary(max_size=10),
    datetime: st.datetimes(timezones=st.just(UTC)),
    timedelta: st.timedeltas(timedelta(days=-999), timedelta(days=999)),
    type(None): st.none(),
    msgspec.UnsetType: st.just(msgspec.UNSET),
    Any: DETAILS,
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Return all values of a type."""
    arguments = get_args(kind)
    match get_origin(kind):
        case None if kind in SIMPLE:
            return SIMPLE[kind]
        case None if issubclass(kind, Enum):
            return st.sampled_from(kind)
        case None:
            return structs(kind)
        case origin if origin in (Union, types.UnionType):
            return st.one_of([values(argument) for argument in arguments])
        case origin if origin is tuple and arguments[-1] is Ellipsis:
            return st.lists(values(arguments[0]), max_size=2).map(tuple)
        case origin if origin is list:
            return st.lists(values(arguments[0]), max_size=2)
        case origin if origin is frozenset:
            return st.frozensets(values(arguments[0]), max_size=2)
        case origin if origin is dict:
            return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=2)
    raise TypeError(f"no values are known of {kind}")


def structs(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    fields = {field.name: values(field.type) for field in msgspec.structs.fields(kind)}
    return st.fixed_dictionaries(fields).map(lambda made: kind(**made))


RECORDS = (AlarmedFault, Subscription, Token, Timeline, StoredPolicy, Notification, Change, Snapshot)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_what_is_written_is_read_back_equal(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    written = data.draw(structs(kind))
    read = msgspec.msgpack.decode(msgspec.msgpack.encode(written), type=kind)
    assert read == written
