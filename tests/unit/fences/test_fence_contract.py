"""The fake fence keeps the contract that the real ones keep, so that tests with it mean something."""

import pytest

from doctor.model.fencing import Supply
from doctor.testing.contracts.fence import FenceContract, FenceRig
from doctor.testing.fence import FakeFence, Mode


class FakeRig(FenceRig):
    plug = "outlet-1"
    wrong_plug = "outlet-9"
    names = ("compute-1",)
    short = 0.2
    patience = 1.0

    def __init__(self) -> None:
        self.fence: FakeFence = FakeFence(plugs={self.plug})
        self.fence.host(self.plug).names = self.names

    def is_on(self) -> bool:
        return self.fence.host(self.plug).is_on

    def put(self, *, on: bool) -> None:
        self.fence.host(self.plug).is_on = on

    def behave(self, mode: Mode) -> None:
        self.fence.mode = mode

    def was_switched_on(self) -> bool:
        return (self.plug, Supply.ON) in self.fence.commands


class TestFakeFence(FenceContract):
    @pytest.fixture
    def rig(self) -> FakeRig:
        return FakeRig()
