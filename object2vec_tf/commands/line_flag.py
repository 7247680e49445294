"""The flag --max_line_megabytes, which all commands that read lines have."""

from __future__ import annotations

from absl import flags

from object2vec_tf.files.line_limit import DEFAULT_MEGABYTES, set_max_line_megabytes

MAX_LINE_MEGABYTES = flags.DEFINE_integer(
    "max_line_megabytes",
    DEFAULT_MEGABYTES,
    "maximum length of an input line in megabytes (10**6 bytes); a longer one, such as "
    "a file without line ends, is an invalid line, and is never read as a whole",
    1,
    10**6,
)


def set_line_limit_of_flag() -> None:
    """Sets the limit of this process, unless its environment has another one."""
    if MAX_LINE_MEGABYTES.present:
        set_max_line_megabytes(MAX_LINE_MEGABYTES.value)
