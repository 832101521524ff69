"""Models as a careful user writes them in plain torch: the other side of benchmarks/models.py.

Networks, laws, bounds and the rule for starting weights are those of the recipes, so that the losses agree; nothing here is of
logpx. The sphere is written as in Davidson et al.'s code, the PixelCNN with masks multiplied into the weights at every step.
`networks` serves Pythae's models too.
"""

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

C, M, K = 0.7, 11, 50  # the ball's curvature is -C, the sphere lies in R^M, the IWAE takes K draws


def mlp(*sizes: int, activation: type[nn.Module] = nn.ReLU) -> list[nn.Module]:
    net: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        net += [nn.Linear(inputs, outputs), activation()]
        if activation is nn.Tanh:
            nn.init.xavier_uniform_(net[-2].weight)
            nn.init.zeros_(net[-2].bias)
    return net[:-1]


def networks(case: str) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder: images (B, 1, 28, 28) to numbers (B, n), and z (..., d) to logits (..., 1, 28, 28)."""
    if case == "conv":
        down = [nn.Conv2d(1, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(), nn.Flatten()]
        up = [nn.ReLU(), nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 1, 4, 2, 1)]
        decoder = nn.Sequential(*mlp(20, 400, 3136), nn.Unflatten(1, (64, 7, 7)), *up)
        return nn.Sequential(*down, *mlp(3136, 400, 40)), decoder
    if case == "large":
        return large()
    sizes = {
        "mlp": (400, 20),
        "poincare": (600, 10),
        "sphere": (256, 128, M),
        "iwae": (200, 200, 50),
        "pixel": (400, 20),
    }[case]
    *hidden, latent = sizes
    numbers = M + 1 if case == "sphere" else 2 * latent
    activation = nn.Tanh if case == "iwae" else nn.ReLU
    maps = 4 if case == "pixel" else 1
    encoder = nn.Sequential(nn.Flatten(), *mlp(784, *hidden, numbers, activation=activation))
    back = mlp(latent, *hidden[::-1], maps * 784, activation=activation)
    if case == "sphere":
        back[0].weight.data *= math.sqrt(M)  # type: ignore[operator,union-attr]
    return encoder, nn.Sequential(*back, nn.Unflatten(-1, (maps, 28, 28)))


def large() -> tuple[nn.Module, nn.Module]:
    """Pictures of 3 x 64 x 64, three convolutions of stride 2 with 256, 512 and 1,024 channels, 128 latents."""
    channels = (3, 256, 512, 1024)
    down = [part for i, o in pairwise(channels) for part in (nn.Conv2d(i, o, 3, 2, 1), nn.ReLU())]
    up = [part for i, o in pairwise(channels[::-1]) for part in (nn.ReLU(), nn.ConvTranspose2d(i, o, 4, 2, 1))]
    decoder = nn.Sequential(*mlp(128, 1024, 65_536), nn.Unflatten(1, (1024, 8, 8)), *up)
    return nn.Sequential(*down, nn.Flatten(), *mlp(65_536, 1024, 256)), decoder


def cross_entropy(logits: Tensor, x: Tensor) -> Tensor:
    """-log p(x|z), one for each row and draw."""
    return F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum((-1, -2, -3))


class Plain(nn.Module):
    """-ELBO of a VAE with a diagonal normal posterior; the others differ in `forward`."""

    def __init__(self, case: str) -> None:
        super().__init__()
        self.encoder, self.decoder = networks(case)

    def normal(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z and KL."""
        mu, log_variance = self.encoder(x).chunk(2, 1)
        z = mu + torch.exp(0.5 * log_variance) * torch.randn_like(mu)
        return z, -0.5 * (1 + log_variance - mu.square() - log_variance.exp()).sum(1)

    def forward(self, x: Tensor) -> Tensor:
        z, kl = self.normal(x)
        return (cross_entropy(self.decoder(z), x) + kl).mean()


class IWAE(Plain):
    def forward(self, x: Tensor) -> Tensor:
        mu, log_variance = self.encoder(x).chunk(2, 1)
        eps = torch.randn(K, *mu.shape, device=mu.device)
        z = mu + torch.exp(0.5 * log_variance) * eps
        log_ratio = 0.5 * (eps.square() + log_variance - z.square()).sum(-1)  # log p(z) - log q(z|x)
        log_w = log_ratio - cross_entropy(self.decoder(z), x)
        return (math.log(K) - log_w.logsumexp(0)).mean()


# --- curved ----------------------------------------------------------------------------------------------------------


def from_origin(u: Tensor) -> Tensor:
    """exp_0 of a tangent vector u at 0 of the ball, in its coordinates: half of those in units of distance."""
    norm = math.sqrt(C) * u.norm(dim=-1, keepdim=True).clamp_min(1e-10)
    return norm.tanh() / norm * u


def moebius(x: Tensor, y: Tensor) -> Tensor:
    xx, yy, xy = ((a * b).sum(-1, keepdim=True) for a, b in ((x, x), (y, y), (x, y)))
    return ((1 + 2 * C * xy + C * yy) * x + (1 - C * xx) * y) / (1 + 2 * C * xy + C**2 * xx * yy)


def volume(r: Tensor, n: int) -> Tensor:
    """(n - 1) log(sinh(sqrt c r)/(sqrt c r))."""
    s = math.sqrt(C) * r.clamp_min(1e-5)
    return (n - 1) * (s + torch.log(-torch.expm1(-2 * s)) - torch.log(2 * s))


class Poincare(Plain):
    def forward(self, x: Tensor) -> Tensor:
        v, a = self.encoder(x).chunk(2, 1)
        sigma, eps = F.softplus(a), torch.randn_like(a)
        n, t = a.shape[1], sigma * eps  # in units of distance
        z = moebius(from_origin(v / 2), from_origin(t / 2))
        log_q = -(0.5 * eps.square() + sigma.log()).sum(1) - volume(t.norm(dim=1), n)
        far = 2 / math.sqrt(C) * torch.atanh((math.sqrt(C) * z.norm(dim=1)).clamp_max(1 - 1e-5))
        log_p = -0.5 * far.square() - volume(far, n)
        return (cross_entropy(self.decoder(z), x) + log_q - log_p).mean()


class Bessel(torch.autograd.Function):
    """exp(-kappa) I_v(kappa) by scipy."""

    @staticmethod
    def forward(ctx: Any, order: float, kappa: Tensor) -> Tensor:
        from scipy.special import ive

        value = torch.from_numpy(ive(order, kappa.numpy()))
        ctx.order = order
        ctx.save_for_backward(kappa, value)
        return value

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:  # type: ignore[override]
        kappa, value = ctx.saved_tensors
        return None, slope * (Bessel.apply(ctx.order - 1, kappa) - value * (ctx.order + kappa) / kappa)


def cosine(kappa: Tensor) -> Tensor:
    """w = mu.z by rejection (Wood 1994); the gradient goes through what was accepted."""
    root = (4 * kappa.square() + (M - 1) ** 2).sqrt()
    a, b = (M - 1 + 2 * kappa + root) / 4, (root - 2 * kappa) / (M - 1)
    d = 4 * a * b / (1 + b) - (M - 1) * math.log(M - 1)
    w, waiting = torch.zeros_like(kappa), torch.ones_like(kappa, dtype=torch.bool)
    beta = torch.distributions.Beta((M - 1) / 2, (M - 1) / 2)
    while waiting.any():
        e = beta.sample(kappa.shape)
        t = 2 * a * b / (1 - (1 - b) * e)
        taken = waiting & ((M - 1) * t.log() - t + d >= torch.rand_like(kappa).log())
        w = torch.where(taken, (1 - (1 + b) * e) / (1 - (1 - b) * e), w)
        waiting = waiting & ~taken
    return w


class Sphere(Plain):
    def forward(self, x: Tensor) -> Tensor:
        axis, a = self.encoder(x).split([M, 1], 1)
        mu, kappa = F.normalize(axis, dim=1), F.softplus(a) + 1
        w, across = cosine(kappa), F.normalize(torch.randn(len(x), M - 1, device=x.device), dim=1)
        z = torch.cat([w, (1 - w.square()).clamp_min(1e-10).sqrt() * across], 1)
        u = F.normalize(F.one_hot(torch.tensor(0), M) - mu, dim=1)
        z = z - 2 * u * (u * z).sum(1, keepdim=True)
        below, above = Bessel.apply(M / 2 - 1, kappa), Bessel.apply(M / 2, kappa)
        kl = kappa * above / below + (M / 2 - 1) * kappa.log() - below.log() - kappa
        kl = kl - (M / 2 - 1) * math.log(2) - math.lgamma(M / 2)
        return (cross_entropy(self.decoder(z), x) + kl.squeeze(1)).mean()


# --- a decoder of masked convolutions --------------------------------------------------------------------------------


class Masked(nn.Conv2d):
    """Sees of a window (k, k) the rows above, of (1, k) what stands to the left; after the first layer the middle too."""

    def __init__(self, inputs: int, outputs: int, window: tuple[int, int], first: bool) -> None:
        rows, columns = window
        super().__init__(inputs, outputs, window, padding=(rows // 2, columns // 2))
        mask = torch.ones(window)
        mask.squeeze(0)[columns // 2 + (not first) :] = 0  # rows of the one, columns of the other
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


def gate(a: Tensor) -> Tensor:
    left, right = a.chunk(2, 1)
    return left.tanh() * right.sigmoid()


class Gated(nn.Module):
    def __init__(self, inputs: int, channels: int, k: int, maps: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.column, self.row = (Masked(inputs, 2 * channels, window, first) for window in ((k, k), (1, k)))
        self.down, self.out = nn.Conv2d(channels, 2 * channels, 1), nn.Conv2d(channels, channels, 1)
        self.told = nn.Conv2d(maps, 2 * channels, 1, bias=False)

    def forward(self, v: Tensor, h: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
        v = gate(self.column(v))
        new = self.out(gate(self.row(h) + self.down(v) + self.told(f)))
        return v, new if self.first else h + new


class Pixel(Plain):
    def __init__(self, case: str) -> None:
        super().__init__(case)
        self.layers = nn.ModuleList([Gated(2, 32, 7, 4, True), Gated(32, 32, 3, 4, False)])
        self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(32, 32, 1), nn.ReLU(), nn.Conv2d(32, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        z, kl = self.normal(x)
        v = h = torch.cat([x, torch.ones_like(x)], 1)
        f = self.decoder(z)
        for layer in self.layers:
            v, h = layer(v, h, f)
        return (cross_entropy(self.head(h), x) + kl).mean()


MODELS = {
    "mlp": Plain,
    "conv": Plain,
    "large": Plain,
    "poincare": Poincare,
    "sphere": Sphere,
    "iwae": IWAE,
    "pixel": Pixel,
}
