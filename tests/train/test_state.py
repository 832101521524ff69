"""Files of a run: round trips, damage of every kind, a full disk, and no pickle anywhere."""

import errno
import json
import math
import os
import pickle
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import logpx
from logpx.errors import UserError
from logpx.train import state

TREE = {
    "progress": {"epoch": 3, "best": math.inf, "worst": -math.inf, "name": "a", "none": None, "yes": True},
    "optimizer": {
        "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.arange(6.0).reshape(2, 3)}, 1: {}},
        "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0, 1]}],
    },
    "random": torch.get_rng_state(),
    "many": [torch.zeros(0), (torch.tensor(True), [torch.ones(2, 2).double().T]), ()],
    "half": torch.tensor([1.5], dtype=torch.float16),
}


def assert_same(a: object, b: object) -> None:
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype  # type: ignore[attr-defined]
        assert torch.equal(a, b)  # type: ignore[arg-type]
    elif isinstance(a, dict):
        assert list(a) == list(b)  # type: ignore[call-overload]
        for key in a:
            assert_same(a[key], b[key])  # type: ignore[index]
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)  # type: ignore[arg-type]
        for x, y in zip(a, b, strict=True):  # type: ignore[call-overload]
            assert_same(x, y)
    else:
        assert a == b


def test_round_trip(tmp_path: Path) -> None:
    state.save(tmp_path / "s", TREE)
    assert_same(TREE, state.load(tmp_path / "s"))
    assert os.listdir(tmp_path) == ["s"]


def test_nan_comes_back(tmp_path: Path) -> None:
    state.save(tmp_path / "s", {"a": math.nan, "t": torch.tensor(math.nan)})
    found = state.load(tmp_path / "s")
    assert math.isnan(found["a"])
    assert found["t"].isnan()


def test_keys_that_look_alike_stay_apart(tmp_path: Path) -> None:
    tree = {"a/b": torch.tensor(1), "a": {"b": torch.tensor(2), "b'": torch.tensor(3)}, 1: {"x": torch.tensor(4)}}
    tree |= {"1": {"x": torch.tensor(5)}}
    state.save(tmp_path / "s", tree)
    assert_same(tree, state.load(tmp_path / "s"))


def test_tensors_that_share_memory_are_written(tmp_path: Path) -> None:
    t = torch.arange(6.0)
    state.save(tmp_path / "s", {"a": t, "b": t[2:4], "c": t.reshape(2, 3).T})
    found = state.load(tmp_path / "s")
    assert torch.equal(found["b"], t[2:4])
    assert torch.equal(found["c"], t.reshape(2, 3).T)


# --- damage -----------------------------------------------------------------------------------------------------------


def test_cut_short_at_any_byte_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    state.save(path, TREE)
    whole = path.read_bytes()
    positions = {*range(60), *range(60, len(whole), 97), len(whole) - 1}
    for at in positions:
        path.write_bytes(whole[:at])
        with pytest.raises(UserError, match="truncated or damaged"):
            state.load(path)


def test_bytes_at_the_end_are_refused(tmp_path: Path) -> None:
    state.save(tmp_path / "s", TREE)
    (tmp_path / "s").write_bytes((tmp_path / "s").read_bytes() + b"more")
    with pytest.raises(UserError, match="truncated or damaged"):
        state.load(tmp_path / "s")


def test_random_bytes_are_refused(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    for n in (1, 7, 8, 9, 100, 5000):
        content = bytes(torch.randint(256, (n,), generator=generator).tolist())
        (tmp_path / "s").write_bytes(content)
        with pytest.raises(UserError, match="truncated or damaged"):
            state.load(tmp_path / "s")


PLAIN = [
    "5",
    "[]x",
    '["a"]',
    '{"list": 3}',
    '{"set": []}',
    '{"list": [], "tuple": []}',
    "{}",
    '"\\u0000tensor:gone"',
    "",
]


@pytest.mark.parametrize("plain", PLAIN)
def test_a_header_of_nonsense_is_refused_or_no_tree(tmp_path: Path, plain: str) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "s", metadata={"plain": plain})
    try:
        found = state.load(tmp_path / "s")
    except UserError:
        return
    assert not isinstance(found, dict)


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "s")
    with pytest.raises(UserError, match="damaged"):
        state.load(tmp_path / "s")


def test_what_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no s in"):
        state.load(tmp_path / "s")
    with pytest.raises(UserError, match="damaged"):
        state.load(tmp_path)
    with pytest.raises(UserError, match="not a finished run folder"):
        state.read_json(tmp_path / "run.json")


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": ', b"\xff\xfe{}", b"nonsense", b'{"a": 1} {'])
def test_json_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(UserError, match="not readable JSON"):
        state.read_json(tmp_path / "run.json")


# --- no pickle --------------------------------------------------------------------------------------------------------


class Poison:
    def __reduce__(self) -> tuple:
        return (os.mkdir, ("poisoned",))


def test_a_poisoned_pickle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for protocol in (0, 2, 5):
        (tmp_path / "weights.safetensors").write_bytes(pickle.dumps(Poison(), protocol))
        with pytest.raises(UserError, match="damaged"):
            state.load(tmp_path / "weights.safetensors")
    torch.save({"weights": Poison()}, tmp_path / "weights.safetensors")
    with pytest.raises(UserError, match="damaged"):
        state.load(tmp_path / "weights.safetensors")
    assert not (tmp_path / "poisoned").exists()


def test_the_package_never_unpickles() -> None:
    words = re.compile(
        r"torch\.(load|save)\(|^\s*(import|from) (\w+\.)?(pickle|dill|joblib|cloudpickle|marshal|shelve)\b", re.M
    )
    allow = re.compile(r"allow_pickle\s*=\s*True|weights_only")
    for file in Path(logpx.__file__).parent.rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        assert not words.search(source), file
        assert not allow.search(source), file


# --- atomic writes ----------------------------------------------------------------------------------------------------


def full_disk(*args: object, **kwargs: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["fsync", "serialise", "replace"])
def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    state.save(tmp_path / "s", TREE)
    target = {"fsync": (os, "fsync"), "serialise": (Path, "write_bytes"), "replace": (Path, "replace")}[where]
    with monkeypatch.context() as patch:
        patch.setattr(*target, full_disk)
        with pytest.raises(OSError, match="No space left"):
            state.save(tmp_path / "s", {"new": torch.zeros(3)})
        with pytest.raises(OSError, match="No space left"):
            state.write_json(tmp_path / "run.json", {})
    assert_same(TREE, state.load(tmp_path / "s"))
    assert os.listdir(tmp_path) == ["s"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_device_that_is_really_full_raises_oserror() -> None:
    """The serialiser's own writer can report a full disk as another exception, or not at all."""
    link = Path("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        link.write_bytes(state.as_bytes({"a": torch.zeros(10_000)}))


def test_ctrl_c_while_writing_leaves_no_litter(tmp_path: Path) -> None:
    def interrupted(path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    state.write_text(tmp_path / "a", "old")
    with pytest.raises(KeyboardInterrupt):
        state.write_atomically(tmp_path / "a", interrupted)
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_json_is_readable_by_others(tmp_path: Path) -> None:
    state.write_json(tmp_path / "a.json", {"ä": [1, None]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"ä": [1, None]}
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o644


def test_as_json_is_what_a_file_gives_back() -> None:
    assert state.as_json({"a": (1, 2), 3: None}) == {"a": [1, 2], "3": None}


def test_bytes_hold_a_tree_as_a_file_does() -> None:
    tree = {"weights": {"a": torch.arange(3.0), "b": torch.tensor(True)}, "plain": [1, "two", (None, 3.5)]}
    again = state.from_bytes(state.to_bytes(tree))
    assert torch.equal(again["weights"]["a"], tree["weights"]["a"])
    assert again["plain"] == tree["plain"]
    for damaged in (b"", state.to_bytes(tree)[:40], b"x" * 64):
        with pytest.raises(UserError, match="truncated or damaged"):
            state.from_bytes(damaged)
