"""The command line as its tests call it."""

import pytest

from logpx import cli


def run(line: str) -> int:
    """The exit code."""
    return cli.run(line.split())


def refused(line: str, capsys: pytest.CaptureFixture) -> str:
    """The one sentence that is said of a command that cannot be: exit code 2, nothing on the standard output."""
    capsys.readouterr()
    assert run(line) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    return err
