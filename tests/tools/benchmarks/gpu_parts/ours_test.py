from tests.object2vec_tf.training.layout_cases import (
    ONE_ID,
    built,
    hyperparameters,
    pairs_of,
    training_loop,
)
from tools.benchmarks.gpu_parts.ours import repeated


def test_repeated_groups_are_trained_as_on_a_gpu():
    settings = hyperparameters(ONE_ID)
    pairs = pairs_of(settings)  # 5 batches
    execution = training_loop("static", built(settings, pairs)).execution
    execution._compiles_ahead = True
    epoch = execution.batches(pairs, shuffle=True, seed=0)

    batches = repeated(epoch, steps=7)

    assert len(batches) == 10
    with execution.training_steps(batches) as run:
        assert run(10) == 10
