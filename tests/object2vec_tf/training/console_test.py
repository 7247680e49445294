import re

from object2vec_tf.training.console import RunConsole

RECORD = {
    "epoch": 1,
    "train": {"cross_entropy": 0.5, "accuracy": 0.75},
    "validation": {"cross_entropy": 0.625, "accuracy": 0.5},
    "seconds": 2.04,
    "records_per_second": 1234.5,
}


def test_an_epoch_is_reported_to_people_and_to_sagemaker(capsys):
    RunConsole().epoch(RECORD, epochs=4, remaining=120.0)
    assert capsys.readouterr().out.splitlines() == [
        "epoch 2/4  train cross_entropy 0.5000  train accuracy 0.7500  "
        "validation cross_entropy 0.6250  validation accuracy 0.5000  "
        "1,234 pairs/s  2.0 s  at most 2 min left",
        "#quality_metric: host=algo-1, epoch=1, train cross_entropy <loss>=0.5",
        "#quality_metric: host=algo-1, epoch=1, train accuracy <score>=0.75",
        "#quality_metric: host=algo-1, epoch=1, validation cross_entropy <loss>=0.625",
        "#quality_metric: host=algo-1, epoch=1, validation accuracy <score>=0.5",
        "#progress_metric: host=algo-1, completed 50 %",
        "#throughput_metric: host=algo-1, train throughput=1234.5 records/second",
    ]


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
    assert last == "best epoch 2 of 4 (stopped: early stopping), 2.0 h, 1,234 pairs/s"


def test_a_quiet_console_writes_nothing(capsys):
    console = RunConsole(quiet=True)
    console.say("a")
    console.epoch(RECORD, epochs=4, remaining=0.0)
    assert capsys.readouterr().out == ""
