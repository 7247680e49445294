"""Tests of the output of a run, on pipes and on terminals of several widths."""

import io
import re
import shlex

import pytest

from object2vec_tf.report.next_steps import next_steps
from object2vec_tf.training.console import RunConsole, TrainingProgress
from object2vec_tf.training.epoch_lines import EpochTable

RECORD = {
    "epoch": 1,
    "train": {"cross_entropy": 0.5, "accuracy": 0.75},
    "validation": {"cross_entropy": 0.625, "accuracy": 0.5},
    "seconds": 2.04,
    "records_per_second": 1234.5,
}


class Terminal(io.TextIOWrapper):
    def __init__(self, encoding="utf-8"):
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)

    def isatty(self):
        return True

    def lines(self):
        return self.buffer.getvalue().decode(self.encoding).splitlines()


@pytest.fixture
def terminal(monkeypatch):
    """A terminal as stdout; a function that sets its properties."""

    def use(encoding="utf-8", **environment):
        stream = Terminal(encoding)
        for name in ("CI", "NO_COLOR", "TRAINING_JOB_NAME", "COLUMNS", "FORCE_COLOR"):
            monkeypatch.delenv(name, raising=False)
        for name, value in ({"TERM": "xterm-256color"} | environment).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.stdout", stream)
        return stream

    return use


def test_an_epoch_is_reported_to_people_and_to_sagemaker(capsys):
    RunConsole().epoch(RECORD, epochs=4, remaining=120.0)
    assert capsys.readouterr().out.splitlines() == [
        "epoch 2/4  train cross_entropy 0.5000  train accuracy 0.7500  "
        "validation cross_entropy 0.6250  validation accuracy 0.5000  "
        "1,234 pairs/s  2.0 s  at most 2 min 0 s left",
        "#quality_metric: host=algo-1, epoch=1, train cross_entropy <loss>=0.5",
        "#quality_metric: host=algo-1, epoch=1, train accuracy <score>=0.75",
        "#quality_metric: host=algo-1, epoch=1, validation cross_entropy <loss>=0.625",
        "#quality_metric: host=algo-1, epoch=1, validation accuracy <score>=0.5",
        "#progress_metric: host=algo-1, completed 50 %",
        "#throughput_metric: host=algo-1, train throughput=1234.5 records/second",
    ]


def test_epochs_are_a_table_on_a_terminal(terminal):
    stream = terminal(COLUMNS="80", TERM="dumb", NO_COLOR="1")
    console = RunConsole()
    console.epoch(RECORD, epochs=4, remaining=28.0)
    console.epoch(RECORD | {"epoch": 2}, epochs=4, remaining=0)
    assert stream.lines() == [
        "       train                    validation",
        "epoch  cross_entropy  accuracy  cross_entropy  accuracy    time    left",
        "  2/4         0.5000    0.7500         0.6250    0.5000   2.0 s    28 s",
        "  3/4         0.5000    0.7500         0.6250    0.5000   2.0 s",
    ]


@pytest.mark.parametrize("variable", ["SM_MODEL_DIR", "TRAINING_JOB_NAME"])
def test_sagemaker_gets_its_lines_on_a_terminal_too(terminal, variable):
    stream = terminal(**{variable: "x"})
    RunConsole().epoch(RECORD, epochs=4, remaining=28.0)
    assert sum(line.startswith("#quality_metric") for line in stream.lines()) == 4


def test_a_terminal_of_ci_gets_whole_lines(terminal):
    stream = terminal(CI="true", TERM="dumb")
    RunConsole().epoch(RECORD, epochs=4, remaining=28.0)
    assert stream.lines()[0].startswith("epoch 2/4  train cross_entropy 0.5000  train")
    assert stream.lines()[1].startswith("#quality_metric")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize("width", [60, 80, 120, 160])
def test_no_line_is_longer_than_the_terminal(terminal, width, encoding):
    stream = terminal(encoding, COLUMNS=f"{width}", NO_COLOR="1")
    console = RunConsole()
    many = {f"measure_{n}": 0.5 for n in range(9)}
    record = RECORD | {"validation": RECORD["validation"] | many, "seconds": 1900.0}
    for epoch in range(2):
        console.epoch(record | {"epoch": epoch}, epochs=1000, remaining=1e6)
    console.say("word " * 60)
    shown = [re.sub(r"\x1b\[\d*m", "", line) for line in stream.lines()]
    assert max(map(len, shown)) <= width
    assert len(shown[1]) > width - 20


def test_a_long_path_is_not_broken(terminal):
    stream = terminal(COLUMNS="40", NO_COLOR="1")
    RunConsole().say("report: " + "x" * 60)
    assert "x" * 60 in stream.lines()[1]


def test_losses_are_shown_first():
    record = RECORD | {"train": {"mean_squared_error": 1.5, "r": 0.2}}
    names = EpochTable(epochs=4, width=50).header(record, 5.0)[1].split()
    assert names == ["epoch", "mean_squared_error", "cross_entropy", "time"]


def test_progress_shows_speed_and_remaining_time(monkeypatch):
    clock = iter([10.0, 12.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    progress = TrainingProgress(pairs=1000, hidden=("secret",))
    progress.set_params({"steps": 10})
    progress.on_epoch_begin(0)
    assert progress.share() == 0
    progress.on_train_batch_end(1, {"loss": 1.0})
    progress.on_train_batch_end(5, {"loss": 0.5, "secret": 2.0})
    # 4 batches in 2 s: 2 batches or 200 pairs per second, and 4 batches are left.
    assert progress.state() == ("6 of 10 batches, 2.0 s left, 200 pairs/s, loss 0.5000")
    assert progress.share() == 0.6


def test_results_are_compared_with_the_baselines(capsys):
    RunConsole().results(
        {
            "best_epoch": 1,
            "epochs_run": 4,
            "stopped": "early stopping",
            "train": {"accuracy": 0.75},
            "test": {"accuracy": 0.5, "auc": 0.625},
            "baselines": {
                "prior": {
                    "train": {"accuracy": 0.25},
                    "test": {"accuracy": 0.25, "auc": 0.5},
                }
            },
            "rows": {"train": 2000, "test": 10},
            "seconds": 7200.0,
            "records_per_second": 1234.5,
        }
    )
    *table, last = capsys.readouterr().out.splitlines()
    assert [re.split(r"\s{2,}", line.strip()) for line in table] == [
        ["metric", "train (2,000)", "test (10)"],
        ["accuracy", "0.7500", "0.5000"],
        ["baseline: class frequencies", "0.2500", "0.2500"],
        ["auc", "0.6250"],
        ["baseline: class frequencies", "0.5000"],
    ]
    assert (
        last == "best epoch 2 of 4 (stopped: early stopping), 2 h 0 min, 1,234 pairs/s"
    )


def test_commands_to_continue_with_fit_the_terminal(terminal):
    stream = terminal(COLUMNS="60", NO_COLOR="1")
    RunConsole().next_steps(next_steps("my run"))
    lines = [re.sub(r"\x1b\[\d*m", "", line) for line in stream.lines()]
    assert max(map(len, lines)) <= 60
    assert lines[:4] == [
        "",
        "Next:",
        "  Serve the model over HTTP",
        "    python -m export.gateway '--model=my run/export' \\",
    ]
    command = " ".join(lines[3:5]).replace("\\", "")
    given = next_steps("my run")[0].command
    assert shlex.split(command) == shlex.split(given)


def test_pipes_get_no_commands(capsys):
    RunConsole().next_steps(next_steps("run"))
    assert capsys.readouterr().out == ""


def test_a_quiet_console_writes_nothing(capsys):
    console = RunConsole(quiet=True)
    console.say("a")
    console.epoch(RECORD, epochs=4, remaining=0.0)
    assert capsys.readouterr().out == ""
