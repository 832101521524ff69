"""What moves the parameters (floor 6): Adam, or Muon for the matrices of linear layers and Adam for everything else."""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from logpx.errors import UserError

Paces = dict[Tensor, float]  # a parameter's multiple of the learning rate


class Together:
    """Several optimisers that step as one."""

    def __init__(self, *optimizers: torch.optim.Optimizer) -> None:
        self.optimizers = optimizers

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        return {str(i): optimizer.state_dict() for i, optimizer in enumerate(self.optimizers)}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        for i, optimizer in enumerate(self.optimizers):
            optimizer.load_state_dict(saved[str(i)])


def paces(parts: Iterable[nn.Module]) -> Paces:
    """The parameters that the optimiser moves, each with the `pace` of the innermost module around it that has one, or 1.

    What a module names in `moves_itself` is left out. Modules say so, and not parameters, because a copied parameter keeps
    nothing but its numbers.
    """
    modules = [module for part in parts for module in part.modules()]  # outermost first
    free = {getattr(module, name) for module in modules for name in getattr(module, "moves_itself", ())}
    found: Paces = {}
    for module in modules:
        for p in module.parameters():
            if p.requires_grad and p not in free:
                found[p] = getattr(module, "pace", found.get(p, 1.0))
    return found


class Decay(NamedTuple):
    """w <- w - learning rate * rate * w of these weights at each step, outside the gradient (Loshchilov & Hutter 2019)."""

    rate: float = 0.0
    weights: Collection[Tensor] = frozenset()

    @classmethod
    def of(cls, network: nn.Module, rate: float) -> "Decay":
        """That of a network's matrices and filters; biases and gains keep their size."""
        return cls(rate, frozenset(p for p in network.parameters() if p.ndim > 1))


NO_DECAY = Decay()


def adam(learned: Paces, learning_rate: float, decay: Decay = NO_DECAY) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980), fused; each parameter at its own multiple of the learning rate."""
    fused = next(iter(learned)).device.type in ("cpu", "cuda")
    return torch.optim.AdamW(groups(learned, learning_rate, decay), lr=learning_rate, fused=fused)


def muon(
    learned: Paces, learning_rate: float, parts: Iterable[nn.Module], decay: Decay = NO_DECAY
) -> torch.optim.Optimizer | Together:
    """Muon (Jordan et al. 2024) for the weights of linear layers, Adam for the rest.

    Its momentum is replaced by the nearest orthogonal matrix, scaled to the size of an Adam update (Liu et al. 2025,
    arXiv:2502.16982), so one learning rate serves both. It needs fewer steps and longer ones: worth it where a step is long
    already, as with many draws of z per row.
    """
    if not hasattr(torch.optim, "Muon"):
        raise UserError(
            f"optimizer 'muon' came with torch 2.9, and this is {torch.__version__}: upgrade, or take 'adam'."
        )
    linear = {m.weight for part in parts for m in part.modules() if type(m) is nn.Linear}
    matrices = {p: pace for p, pace in learned.items() if p in linear}
    rest = {p: pace for p, pace in learned.items() if p not in linear}
    if not matrices:
        return adam(learned, learning_rate, decay)
    matched = groups(matrices, learning_rate, decay)
    first = torch.optim.Muon(matched, lr=learning_rate, adjust_lr_fn="match_rms_adamw")
    return Together(first, adam(rest, learning_rate, decay)) if rest else first


def shortening(norm: Tensor, most: float) -> Tensor:
    """What a gradient of this norm is multiplied by to be at most `most` long, as `clip_grad_norm_` does."""
    return (most / (norm + 1e-6)).clamp(max=1.0)


def groups(learned: Paces, learning_rate: float, decay: Decay) -> list[dict[str, Any]]:
    """Parameters by their multiple of the learning rate (a critic or a curvature may have a pace of its own) and decay."""
    kinds = {p: (pace, decay.rate if p in decay.weights else 0.0) for p, pace in learned.items()}
    return [
        {
            "params": [p for p in learned if kinds[p] == (pace, rate)],
            "lr": pace * learning_rate,
            "rate": pace,
            "weight_decay": rate,
        }
        for pace, rate in dict.fromkeys(kinds.values())
    ]


def moments_of(optimizer: torch.optim.Optimizer | Together) -> dict[str, Any]:
    """What it knows of the steps that it has taken, such as Adam's moments, and nothing of its settings."""
    return {str(i): part.state_dict()["state"] for i, part in enumerate(_parts(optimizer))}


def take_up(optimizer: torch.optim.Optimizer | Together, moments: dict[str, Any]) -> None:
    """Goes on from such moments with the settings that it has. Raises UserError for those of other parameters."""
    parts = _parts(optimizer)
    if len(parts) != len(moments) or not all(_fit(moments[str(i)], part) for i, part in enumerate(parts)):
        raise UserError("These moments are those of another optimiser: begin without any.")
    for i, part in enumerate(parts):
        part.load_state_dict({"state": moments[str(i)], "param_groups": part.state_dict()["param_groups"]})


def _fit(state: dict[int, Any], optimizer: torch.optim.Optimizer) -> bool:
    """Whether there is one for each parameter, of its shape: torch does not look."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if list(state) != list(range(len(parameters))):
        return False
    return all(t.ndim == 0 or t.shape == p.shape for i, p in enumerate(parameters) for t in state[i].values())


def _parts(optimizer: torch.optim.Optimizer | Together) -> Sequence[torch.optim.Optimizer]:
    return optimizer.optimizers if isinstance(optimizer, Together) else [optimizer]


def follow_cosine(optimizer: torch.optim.Optimizer | Together, learning_rate: float, done: float) -> None:
    """Sets every group to its multiple of the learning rate, times `half_cosine`."""
    for group in optimizer.param_groups:
        group["lr"] = group["rate"] * learning_rate * half_cosine(done)


def half_cosine(done: float) -> float:
    """1 where `done` is 0, 0 where it is 1."""
    return 0.5 * (1 + math.cos(math.pi * done))
