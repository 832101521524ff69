"""The suite's own guard: a test that reaches for another machine fails, one that talks to itself does not."""

import socket

import pytest


def test_another_machine_is_out_of_reach():
    with socket.socket() as outside, pytest.raises(AssertionError, match="reaches for the network"):
        outside.connect(("192.0.2.1", 80))  # an address of documentation, RFC 5737
    with socket.socket() as outside, pytest.raises(AssertionError, match="reaches for the network"):
        outside.connect_ex(("192.0.2.1", 80))


def test_this_machine_is_within_reach():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as inside:
        assert inside.getpeername() == server.getsockname()
