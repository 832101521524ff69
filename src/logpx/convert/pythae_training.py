"""Settings of Pythae's trainers (floor 7): training_config.json, of whichever trainer."""

from typing import Any

from logpx.convert.base import Rule, Said, Settings, nothing, number, of_data, only, positive, same, seeded


def batch(settings: Settings) -> int:
    """Rows per step."""
    return positive(settings.get("per_device_train_batch_size", 64), "per_device_train_batch_size", int)


def pace(value: Any, settings: Settings) -> Said:
    """Of a critic's learning rate."""
    own = settings.get("autoencoder_learning_rate", settings.get("encoder_learning_rate", 1e-4))
    rate = number(value, "discriminator_learning_rate") / positive(own, "learning_rate")
    return Said("exact", "the critic's multiple of the learning rate", {"rate": rate})


def _optimizer(value: Any, settings: Settings) -> Said:
    if value == "Adam" and not settings.get("optimizer_params"):
        return Said("exact", "Adam with torch's defaults in both")
    return Said(
        "no counterpart", "Adam with torch's defaults is used here (--encoder-decay decays the encoder's weights)"
    )


def _schedule(value: Any, _: Settings) -> Said:
    if value is None:
        return Said("exact", "a constant learning rate")
    if value == "CosineAnnealingLR":
        return Said("other meaning", "half a cosine over the whole run", {"schedule": "cosine"})
    return Said("no counterpart", "the learning rate is constant here, or falls along a cosine (--schedule cosine)")


def _best(value: Any, _: Settings) -> Said:
    if value:
        return Said("exact", "the best epoch by the training loss", {"held_out": 0})
    return Said("exact", "the best epoch by held-out rows, which are split off here (--held-out)")


OPTIMIZERS = [f"{part}_{what}" for part in ("autoencoder", "encoder", "decoder", "discriminator")
              for what in ("optimizer_cls", "optimizer_params", "scheduler_cls", "scheduler_params")]  # fmt: skip
PLACES = nothing("one process here; --device says where")
LEARNING: dict[str, Rule] = {
    "num_epochs": same("epochs", int),
    "per_device_train_batch_size": same("batch_size", int),
    "learning_rate": same("learning_rate"),
    "autoencoder_learning_rate": same("learning_rate"),
    "encoder_learning_rate": same("learning_rate"),
    "decoder_learning_rate": nothing("encoder and decoder learn at one rate"),
    **dict.fromkeys(OPTIMIZERS, nothing("one Adam moves all players here, a critic at a pace of its own (--rate)")),
    "optimizer_cls": _optimizer,
    "scheduler_cls": _schedule,
    "keep_best_on_train": _best,
    "seed": seeded(),
    "amp": only(False, "float32; --precision bfloat16 is another arithmetic"),
    "no_cuda": lambda value, _: Said("exact", "--device", {"device": "cpu"} if value else {}),
    **dict.fromkeys(("optimizer_params", "scheduler_params"), of_data("see the class above")),
    **dict.fromkeys(
        ("output_dir", "per_device_eval_batch_size", "train_dataloader_num_workers", "eval_dataloader_num_workers"),
        of_data("has no influence on a result"),
    ),
    **dict.fromkeys(("steps_saving", "steps_predict"), of_data("every epoch is kept and resumed from here")),
    **dict.fromkeys(("world_size", "local_rank", "rank", "dist_backend", "master_addr", "master_port"), PLACES),
}
