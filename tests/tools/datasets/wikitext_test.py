import importlib.util
import sys

import pytest

from tools.datasets import wikitext
from tools.datasets.sources import DatasetError

needs_parser = pytest.mark.skipif(
    importlib.util.find_spec("mwparserfromhell") is None,
    reason="mwparserfromhell is not installed: pip install '.[datasets]'",
)


@needs_parser
@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            "A [[cat]] has '''four''' ''soft'' [[paw|paws]].",
            "A cat has four soft paws.",
        ),
        (
            "It is old<ref>X. No. 3.</ref> and<ref name=a /> big.",
            "It is old and big.",
        ),
        ("{{Box|a=1}}It is {{cvt|3|m}} tall, they say.", "It is tall, they say."),
        ("The cat ({{lang|la|Felis}}; ) is a pet.", "The cat is a pet."),
        ("The cat ({{lang|la|Felis}}, small) is a pet.", "The cat (small) is a pet."),
        ("Cats &amp; dogs<br/>are good friends.", "Cats & dogs are good friends."),
        ("Of cats [http://a.org all lists] are here.", "Of cats all lists are here."),
        ("<!-- no -->The cat <small>sat</small> on mats.", "The cat sat on mats."),
        (
            "Ice is H<sub>2</sub>O, not <math>x^2</math> alone.",
            "Ice is H2O, not alone.",
        ),
        ("A [[File:C.jpg|thumb|It sits.]]cat sat down there.", "A cat sat down there."),
        ("The [[:Category:Cats]] is a page.", "The Category:Cats is a page."),
        (
            "[[de:Katze]][[Category:C]]The cat sat down there.",
            "The cat sat down there.",
        ),
        ("In [[2001: A Film]] are no cats.", "In 2001: A Film are no cats."),
    ],
)
def test_markup_is_reduced_to_the_visible_text(source: str, text: str) -> None:
    assert wikitext.sentences(source) == [text]


@needs_parser
def test_tables_headings_and_fragments_are_dropped() -> None:
    source = """\
One cat sat on the mat.
{| class="wikitable"
| A cell that holds a whole sentence.
|}
== A heading that looks like a sentence. ==
* a list item in lower case letters.
* A list item without a stop
* A list item that is a sentence.
Too short.
"""

    assert wikitext.sentences(source) == [
        "One cat sat on the mat.",
        "A list item that is a sentence.",
    ]


@needs_parser
def test_note_sections_are_dropped_with_their_subsections() -> None:
    source = """\
The first sentence is kept here.
== References ==
The second sentence is dropped here.
=== Books ===
The third sentence is dropped too.
== History ==
The fourth sentence is kept here.
=== Notes ===
The fifth sentence is dropped here.
=== Later ===
The sixth sentence is kept here.
"""

    assert wikitext.sentences(source) == [
        "The first sentence is kept here.",
        "The fourth sentence is kept here.",
        "The sixth sentence is kept here.",
    ]


@needs_parser
def test_namespaces_of_the_dump_are_hidden() -> None:
    source = "[[Datei:Katze.jpg|mini|Das ist sie.]]Die Katze saß auf dem Dach."

    assert wikitext.sentences(source, ["Datei"]) == ["Die Katze saß auf dem Dach."]


@needs_parser
def test_sentences_with_leftover_markup_are_dropped() -> None:
    source = "A cat sat on [[the mat. The dog sat on the mat."

    assert wikitext.sentences(source) == ["The dog sat on the mat."]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One cat. Two dogs.", ["One cat.", "Two dogs."]),
        ("Really? Yes! 3 times.", ["Really?", "Yes!", "3 times."]),
        ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
        ("Dr. Who met J. R. Smith (b. 1900).", ["Dr. Who met J. R. Smith (b. 1900)."]),
        ("The U.S. Army and St. Paul.", ["The U.S. Army and St. Paul."]),
        ("It cost 3.5 and e.g. more.", ["It cost 3.5 and e.g. more."]),
        ("He was No. 5 there. No. He was.", ["He was No. 5 there.", "No.", "He was."]),
        ("", []),
    ],
)
def test_text_is_split_into_sentences(text: str, parts: list[str]) -> None:
    assert list(wikitext.split_sentences(text)) == parts


def test_error_for_a_missing_parser_names_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "mwparserfromhell", None)

    with pytest.raises(DatasetError, match=r"pip install '\.\[datasets\]'"):
        wikitext.sentences("A cat.")
