"""Numbers as any store can keep them."""

from typing import Any

import msgspec


def storable(details: dict[str, Any]) -> dict[str, Any]:
    """Return details as any store can keep them: a whole number beyond 64 bits is kept as text."""
    try:
        msgspec.msgpack.encode(details)
    except OverflowError:
        return {key: _within_64_bits(value) for key, value in details.items()}
    return details


def _within_64_bits(value: Any) -> Any:
    match value:
        case dict():
            return {key: _within_64_bits(inner) for key, inner in value.items()}
        case list():
            return [_within_64_bits(inner) for inner in value]
        case int() if not -(2**63) <= value < 2**63:
            return str(value)
    return value
