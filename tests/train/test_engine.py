"""Where and how precisely: devices, threads, the private random state, and when compiling pays."""

from typing import get_args

import pytest
import torch
from torch import nn

from logpx.errors import UserError
from logpx.train.engine import Bfloat16, Precision, arithmetic, dtype_of, find_device, should_compile

CPU = torch.device("cpu")


def settings() -> tuple:
    return torch.get_float32_matmul_precision(), torch.get_num_threads(), torch.get_default_dtype()


@pytest.mark.parametrize("name", ["cuda:77", "nope", "", "meta", "cpu:x"])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(UserError, match="cannot be used on this machine"):
        find_device(name)


def test_the_devices_that_are_there() -> None:
    assert find_device("cpu") == CPU
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_precisions() -> None:
    assert [dtype_of(p) for p in get_args(Precision)] == [torch.float64, *[torch.float32] * 3]


def test_networks_in_bfloat16_hand_on_float32_and_are_put_back() -> None:
    net, x = nn.Sequential(nn.Linear(50, 40), nn.Tanh(), nn.Linear(40, 3)), torch.randn(20, 50)
    narrow, exact = Bfloat16([net], CPU), net(x)
    with narrow:
        rounded = net(x)
    assert rounded.dtype == torch.float32
    assert torch.equal(rounded, rounded.bfloat16().float())  # eight bits of mantissa are all there are
    assert 0 < (rounded - exact).abs().max() < 0.02
    assert torch.equal(net(x), exact)
    assert "forward" not in vars(net)
    rounded.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in net.parameters())


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_put_back(fails: bool) -> None:
    before, random = settings(), torch.get_rng_state()
    try:
        with arithmetic(CPU, "medium", 2, seed=5):
            assert torch.get_float32_matmul_precision() == "medium"
            assert torch.get_num_threads() == 2
            assert torch.initial_seed() == 5
            torch.rand(3)
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails
    assert settings() == before
    assert torch.equal(torch.get_rng_state(), random)


def test_full_precision_is_full_even_if_the_user_had_less() -> None:
    torch.set_float32_matmul_precision("medium")
    try:
        with arithmetic(CPU, "float32", None, seed=0):
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_when_compiling_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/g++")
    cuda = torch.device("cuda:0")
    assert should_compile("no", cuda, "float32", 10**9) == (False, None)
    assert should_compile("yes", CPU, "float32", 1) == (True, None)
    steps = (1, 5 * 469, 20_000, 10**6)  # five epochs of MNIST are never worth it
    assert [should_compile("auto", CPU, "float32", n)[0] for n in steps] == [False, False, False, True]
    assert [should_compile("auto", CPU, "bfloat16", n)[0] for n in steps] == [False, False, True, True]
    assert [should_compile("auto", cuda, "float32", n)[0] for n in steps] == [False, False, True, True]


def test_what_cannot_be_compiled_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    compiled, why = should_compile("yes", CPU, "float32", 1)
    assert not compiled
    assert why is not None
    assert "no C++ compiler" in why
    monkeypatch.setattr("torch.__version__", "2.9.1")
    assert should_compile("yes", CPU, "float32", 1) == (
        False,
        "Not compiled, only slower: torch 2.9.1 cannot, 2.13 can.",
    )


def test_denormals_count_as_zero_while_training_and_only_then() -> None:
    tiny = torch.tensor(1e-39)
    with arithmetic(torch.device("cpu"), "float32", None, 0):
        assert (tiny * 1.0).item() == 0.0
    assert (tiny * 1.0).item() > 0.0
