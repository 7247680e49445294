import pytest

from object2vec_tf.commands.help_screens import COMMANDS, OVERVIEW, screen, verbs
from tools.docs import commands

HELP = """Finds neighbors.

python -m neighbors --k=10

Flags:
  --[no]exact: query: search all items
    (default: 'true')
  --metric: <cosine|euclidean>: metric of 10**6 vectors,
    or more
    (default: 'cosine')
  --index: directory of the index
    (a string)

Hyperparameters of enc0, the encoder of in0:
  --enc0_layers: number of layers

Flags of all commands:
  --pdb: debugger
"""


def test_table_of_flags():
    assert commands.flag_table(HELP).splitlines() == [
        "All [hyperparameters](hyperparameters.md) are flags of this command too.",
        "",
        "| flag | meaning | default |",
        "|---|---|---|",
        "| `--[no]exact` | query: search all items | `true` |",
        r"| `--metric` | &lt;cosine\|euclidean&gt;: metric of 10\*\*6 vectors, or more"
        " | `cosine` |",
        "| `--index` | directory of the index (a string) |  |",
    ]


@pytest.mark.parametrize("module", [name for name in COMMANDS if name != OVERVIEW])
def test_page_has_the_short_help(module):
    text, name = commands.PAGE.read_text(), COMMANDS[module]
    assert screen(name).rstrip() in text
    for verb in verbs(name):
        assert screen(name, [verb]).rstrip() in text


@pytest.mark.long
def test_page_is_current():
    assert commands.PAGE.read_text() == commands.page(), (
        "run python tools/docs/commands.py"
    )
