"""What a person sees of two stages on a terminal."""

from logpx.train.log import Bar


def test_a_bar_starts_again_for_a_second_stage_and_says_each_stages_last_epoch_once(capsys):
    bar = Bar()
    for epochs in (2, 3):
        bar.start(epochs, 4 * epochs)
        bar.step(0)
        bar.epoch({"epoch": epochs, "train": {"loss": 1.5}}, True)
        bar.stop()
    bar.stop()
    said = capsys.readouterr().err
    assert [said.count(line) for line in ("epoch 2/2  loss 1.50", "epoch 3/3  loss 1.50")] == [1, 1]
    (task,) = bar.progress.tasks
    assert task.total == 12
