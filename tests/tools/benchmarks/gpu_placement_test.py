import tensorflow as tf

from tools.benchmarks.gpu_placement import place


def placeholder(dtype, shape):
    return tf.compat.v1.placeholder(dtype, shape)


def placement_of(build):
    graph = tf.Graph()
    with graph.as_default():
        build()
    return place(graph.as_graph_def().node)


def test_an_op_without_a_kernel_costs_a_copy_each_way():
    def build():
        doubled = placeholder(tf.float32, [9]) * 2
        unique = tf.raw_ops.UniqueV2(x=doubled, axis=[0])
        tf.cast(unique.idx, tf.float32) + tf.reduce_sum(unique.y)

    placement = placement_of(build)
    assert placement.without_kernel == {"UniqueV2": 1}
    # The product goes to the host. y and idx come back, each once.
    assert (placement.to_host, placement.to_device) == (1, 2)
    # Product, cast, sum and addition.
    assert placement.launches == 4


def test_kernels_depend_on_the_type():
    def build(dtype):
        values, ids = placeholder(dtype, [9]), placeholder(tf.int64, [9])
        tf.math.unsorted_segment_sum(values, ids, 3)

    assert placement_of(lambda: build(tf.float32)).without_kernel == {}
    assert placement_of(lambda: build(tf.int64)).without_kernel == {
        "UnsortedSegmentSum": 1
    }


def test_arguments_in_host_memory_are_copies():
    def build():
        rows = placeholder(tf.float32, [None, 4])
        # int32 arithmetic on the shape stays on the host. The size comes from the GPU.
        tf.reshape(rows, [tf.shape(rows)[0] * 4])
        tf.zeros([tf.cast(tf.reduce_sum(rows), tf.int64)])

    placement = placement_of(build)
    assert placement.without_kernel == {}
    assert (placement.to_host, placement.to_device) == (1, 0)


def test_shapes_of_results_on_the_host_cause_no_copy():
    def build():
        unique = tf.raw_ops.UniqueV2(x=placeholder(tf.float32, [9]), axis=[0])
        tf.shape(unique.y)

    placement = placement_of(build)
    assert (placement.to_host, placement.to_device) == (1, 0)
