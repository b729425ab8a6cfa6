"""Endpoints of the settings go to the channels that brought them, all others to the common one."""

from doctor.drivers.channels.switch import SwitchChannel
from doctor.model.notification import Delivered
from doctor.model.subscription import Endpoint
from doctor.testing.channel import FakeChannel
from doctor.testing.contracts.channel import notification


class FixedFake(FakeChannel):
    endpoint = Endpoint(endpoint_id="bus", url="amqp://rabbit/")


async def test_each_endpoint_goes_to_its_channel() -> None:
    common, bus = FakeChannel(), FixedFake()
    switch = SwitchChannel(common, [bus])
    other = Endpoint(endpoint_id="other", url="http://vnfm/")
    bus.absent("bus", "no route to host")
    common.forbid("http://vnfm/", "not allowed")
    assert await switch.probe(bus.endpoint) == "no route to host"
    assert (switch.check(bus.endpoint), switch.check(other)) == (None, "not allowed")
    assert isinstance(await switch.deliver(bus.endpoint, notification(), attempt=2), Delivered)
    await switch.deliver(Endpoint(endpoint_id="o", url="http://a/"), notification(2), attempt=3, replay=True)
    assert [(one.endpoint_id, one.attempt, one.replay) for one in bus.attempts] == [("bus", 2, False)]
    assert [(one.endpoint_id, one.attempt, one.replay) for one in common.attempts] == [("o", 3, True)]
    await switch.close()
    assert common.closed
    assert bus.closed
