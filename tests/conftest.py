"""What every test file shares: one thread, a seed that no other test moves, and no way out of this machine."""

import socket

import pytest
import torch

torch.set_num_threads(1)
LOOPBACK = ("127.", "::1", "localhost")


@pytest.fixture(autouse=True)
def _seed():
    """Each test draws the same numbers whatever ran before it."""
    torch.manual_seed(20140501)


@pytest.fixture(autouse=True, scope="session")
def _offline():
    """A test that reaches for another machine fails: nothing here needs one, and nobody's numbers may depend on one."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, _at_home(getattr(socket.socket, name)))
        yield


def _at_home(connect):
    def guarded(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(LOOPBACK):
            raise AssertionError(f"A test reaches for the network: {address}.")
        return connect(self, address)

    return guarded
