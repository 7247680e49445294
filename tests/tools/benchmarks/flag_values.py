"""Values of flags during a test of a benchmark."""

import contextlib

from absl import flags
from absl.testing import flagsaver


@contextlib.contextmanager
def flag_values(**values):
    """Sets flags as if they were parsed, and restores them."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(**values):
        yield
