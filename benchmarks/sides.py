"""One side of models.py or gpu.py, alone in its process: it trains one model on given rows and prints a line of JSON.

    python benchmarks/sides.py logpx conv ROWS.npy --epochs 3

{"side", "epoch_seconds", "train_loss"}: logpx through its public functions, the usual loop in plain torch around the models of
written.py, or, in an environment of its own, Pythae's documented path around the same networks.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from typing import Any

from train import check_compiled

#: recipe, its options, and Pythae's model
CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "mlp": ("vae", {"latent": 20, "hidden": (400,)}, "VAE"),
    "conv": ("vae", {"network": "conv", "latent": 20, "hidden": (400,)}, "VAE"),
    "large": ("vae", {"network": "conv", "latent": 128, "hidden": (1024,)}, "VAE"),
    "poincare": ("poincare_vae", {"latent": 10, "hidden": (600,), "decoder": "linear"}, "PoincareVAE"),
    "sphere": ("hyperspherical_vae", {"latent": 10, "hidden": (256, 128)}, "SVAE"),
    "iwae": ("iwae", {"latent": 50, "hidden": (200, 200), "samples": 50, "gradient": "plain"}, "IWAE"),
    "pixel": ("pixel_vae", {"latent": 20, "hidden": (400,), "free_bits": 0, "warmup": 0}, ""),
}
Epochs = tuple[list[float], list[float]]  # seconds and mean loss of each


def ours(x: Any, given: argparse.Namespace) -> Epochs:
    """Our side, through the public functions."""
    from logpx import recipes
    from logpx.data import from_array
    from logpx.train import fit

    recipe, options, _ = CASES[given.case]
    data = from_array(x, kind="binary", held_out=0, test=0)
    method = getattr(recipes, recipe)(data, seed=given.seed, **options)
    if given.case == "large":
        widen(method.model, x.shape[1:], options["latent"])
    how: dict[str, Any] = {"epochs": given.epochs, "batch_size": given.batch, "learning_rate": 1e-3, "seed": given.seed}
    how |= {"precision": given.precision, "compile": given.compile, "threads": given.threads, "device": given.device}
    run = fit(method, data, show=False, **how)
    check_compiled(run, given.compile)
    return [row["seconds"] for row in run.rows], [row["train"]["loss"] for row in run.rows]


def widen(model: Any, shape: tuple[int, ...], latent: int) -> None:
    """Convolutions of 256, 512 and 1024 channels in the place of the recipe's 32 and 64."""
    from logpx.networks import ConvDecoder, ConvEncoder

    model.encoder = ConvEncoder(shape, (2 * latent,), channels=(256, 512, 1024), hidden=(1024,))
    model.decoder = ConvDecoder((latent,), (1, *shape), channels=(1024, 512, 256), hidden=(1024,))


def plain(x: Any, given: argparse.Namespace) -> Epochs:
    """The usual loop."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from written import MODELS

    case = given.case
    if case == "sphere" and given.device != "cpu":
        sys.exit("The plain loop on the sphere asks scipy for its Bessel functions: it has no GPU.")
    model = MODELS[case](case).to(given.device)
    loader = DataLoader(TensorDataset(torch.from_numpy(x).float()), batch_size=given.batch, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    seconds, losses = [], []
    for _ in range(given.epochs):
        start, total = time.perf_counter(), 0.0
        for (rows,) in loader:
            optimizer.zero_grad()
            loss = model(rows.to(given.device))
            loss.backward()
            if case == "pixel":
                torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            total += loss.item() * len(rows)
        seconds.append(time.perf_counter() - start)
        losses.append(total / len(x))
    return seconds, losses


def pythae(x: Any, given: argparse.Namespace) -> Epochs:
    """Pythae's documented path, in its own environment: an epoch from its callback's begin to its end."""
    os.environ["TQDM_DISABLE"] = "1"  # read when Pythae imports it
    from pythae import models
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    class Clock(TrainingCallback):
        seconds: list[float] = []  # noqa: RUF012 - one clock in this process
        losses: list[float] = []  # noqa: RUF012

        def on_epoch_begin(self, training_config: Any, **kwargs: Any) -> None:
            self.start = time.perf_counter()

        def on_epoch_end(self, training_config: Any, **kwargs: Any) -> None:
            self.seconds.append(time.perf_counter() - self.start)

        def on_log(self, training_config: Any, logs: dict[str, float], **kwargs: Any) -> None:
            self.losses.append(float(logs["train_epoch_loss"]))

    with tempfile.TemporaryDirectory() as folder:
        sizes = {"num_epochs": given.epochs, "per_device_train_batch_size": given.batch, "learning_rate": 1e-3}
        training = BaseTrainerConfig(output_dir=folder, no_cuda=given.device == "cpu", seed=given.seed, **sizes)
        pipeline = TrainingPipeline(model=pythae_model(given.case, models, x.shape[1:]), training_config=training)
        pipeline(train_data=x.astype("float32"), callbacks=[Clock()])
    return Clock.seconds, Clock.losses


def pythae_model(case: str, models: Any, shape: tuple[int, ...]) -> Any:
    """Its model of that case around our networks."""
    import torch
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    from written import C, K, M, from_origin, networks

    inner, outer = networks(case)

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = inner

        def forward(self, x: Any) -> Any:
            if case == "sphere":
                axis, concentration = self.net(x).split([M, 1], 1)
                return ModelOutput(embedding=axis, log_concentration=concentration)
            a, b = self.net(x).chunk(2, 1)
            if case == "poincare":  # it takes what it gets for a point of the ball
                a, b = from_origin(a / 2), 2 * torch.nn.functional.softplus(b).log()
            return ModelOutput(embedding=a, log_covariance=b)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = outer

        def forward(self, z: Any) -> Any:
            return ModelOutput(reconstruction=torch.sigmoid(self.net(z)))

    name = CASES[case][2]
    more = {"poincare": {"curvature": C}, "iwae": {"number_samples": K}}.get(case, {})
    latent = {"mlp": 20, "conv": 20, "large": 128, "poincare": 10, "sphere": M, "iwae": 50}[case]
    config = getattr(models, f"{name}Config")(input_dim=shape, latent_dim=latent, reconstruction_loss="bce", **more)
    return getattr(models, name)(config, encoder=Encoder(), decoder=Decoder())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("side", choices=("logpx", "plain", "pythae"))
    parser.add_argument("case", choices=list(CASES))
    parser.add_argument("data", help="rows of zeros and ones, .npy, (N, 1, 28, 28), of large (N, 3, 64, 64)")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--compile", default="auto")
    parser.add_argument("--device", default="cpu")
    for name, value in {"epochs": 3, "batch": 128, "threads": 2, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    import numpy as np
    import torch

    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    seconds, losses = {"logpx": ours, "plain": plain, "pythae": pythae}[given.side](np.load(given.data), given)
    print(json.dumps({"side": given.side, "epoch_seconds": seconds, "train_loss": losses}))


if __name__ == "__main__":
    main()
