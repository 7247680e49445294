"""Trains a table by each method of table_exchanges, on logical CPUs of one process.

Usage: exchange_program.py INPUT OUTPUT REPLICAS
"""

import sys

import numpy as np
import tensorflow as tf

from object2vec_tf.distributed.collectives import Collectives
from tools.benchmarks.table_exchanges import METHODS, own_rows, replica_batch


def train(name, table, batches, collectives):
    """Returns the table of each replica after a step per batch."""
    devices, replicas = [f"CPU:{i}" for i in range(len(collectives))], len(collectives)
    exchanges = []
    for replica, device in enumerate(devices):
        rows = table if name == "replicated" else own_rows(table, replica, replicas)
        with tf.device(device):
            exchanges.append(METHODS[name](collectives[replica], tf.Variable(rows)))

    @tf.function(autograph=False)
    def step(shards):
        for device, exchange, shard in zip(devices, exchanges, shards, strict=True):
            with tf.device(device):
                exchange.step(*shard)

    for batch in batches:
        step([replica_batch(batch, replica, replicas) for replica in range(replicas)])
    return [exchange.table.numpy() for exchange in exchanges]


def main(source, output, replicas):
    count = int(replicas)
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * count,
    )
    # New ones would number their operations from 0 again, with other shapes.
    collectives = [Collectives(i, count, f"CPU:{i}") for i in range(count)]
    data = np.load(source)
    batches = list(zip(data["in0"], data["in1"], strict=True))
    results = {
        f"{name} {replica}": rows
        for name in METHODS
        for replica, rows in enumerate(train(name, data["table"], batches, collectives))
    }
    np.savez(output, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
