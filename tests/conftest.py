"""What every test file shares: one thread, and a seed that no other test moves."""

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed():
    """Each test draws the same numbers whatever ran before it."""
    torch.manual_seed(20140501)
