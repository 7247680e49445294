from object2vec_tf.training.sagemaker_metrics import (
    progress_line,
    quality_lines,
    throughput_line,
)


def test_quality_lines_after_an_epoch_have_sagemakers_shape():
    metrics = {"cross_entropy": 0.227112250687, "accuracy": 0.91}
    assert list(quality_lines("validation", metrics, epoch=0)) == [
        "#quality_metric: host=algo-1, epoch=0, "
        "validation cross_entropy <loss>=0.227112250687",
        "#quality_metric: host=algo-1, epoch=0, validation accuracy <score>=0.91",
    ]


def test_quality_lines_of_the_final_model_name_no_epoch():
    assert list(quality_lines("test", {"mean_squared_error": 0.98})) == [
        "#quality_metric: host=algo-1, test mean_squared_error <loss>=0.98"
    ]


def test_progress_and_throughput_lines_have_sagemakers_shape():
    assert progress_line(1, 10) == "#progress_metric: host=algo-1, completed 10 %"
    assert progress_line(2, 3) == "#progress_metric: host=algo-1, completed 66 %"
    assert throughput_line(2043.5) == (
        "#throughput_metric: host=algo-1, train throughput=2043.5 records/second"
    )
