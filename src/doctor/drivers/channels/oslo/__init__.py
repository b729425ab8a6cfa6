"""The message bus of a cloud: notifications as OpenStack's services send them (oslo.messaging)."""

from doctor.drivers.channels.oslo.channel import make

__all__ = ["make"]
