import pytest
from absl import flags

from object2vec_tf.commands.checks import check_numbers
from object2vec_tf.errors import UserError


def parsed(*arguments):
    values = flags.FlagValues()
    flags.DEFINE_integer("count", 1, "", flag_values=values)
    flags.DEFINE_float("seconds", 1.0, "", flag_values=values)
    flags.DEFINE_list("names", [], "", flag_values=values)
    values(["program", *arguments])
    return values


@pytest.mark.parametrize(
    "argument",
    [
        "--seconds=nan",
        "--seconds=inf",
        "--seconds=-inf",
        "--seconds=1e400",
        "--seconds=1e300",
        f"--count={2**63}",
        f"--count=-{2**64}",
        f"--count={'9' * 400}",
    ],
)
def test_numbers_that_nothing_can_hold_are_errors(argument):
    name = argument.partition("=")[0]
    with pytest.raises(UserError, match=f"{name}: expected an? (number|integer) up to"):
        check_numbers(parsed(argument))


def test_other_values_are_accepted():
    check_numbers(parsed(f"--count={2**63 - 1}", "--seconds=1e9", "--names=a,b"))
