"""The program of the second process of `parallel_parser`."""

import sys
import types
from multiprocessing.connection import Connection
from pathlib import Path


def main(handle: int) -> None:
    """Parses the blocks that arrive on a socket until its other end is closed."""
    # The package's own __init__ would import TensorFlow, which is not needed here.
    package = types.ModuleType("object2vec_tf")
    package.__path__ = [str(Path(__file__).parents[1])]
    sys.modules["object2vec_tf"] = package
    from object2vec_tf.data.block_parser import parse_block

    with Connection(handle) as connection:
        connection.send("ready")
        while True:
            try:
                block = connection.recv()
            except EOFError:
                return
            connection.send(parse_block(*block))


if __name__ == "__main__":
    main(int(sys.argv[1]))
