import pytest

pytest.importorskip("textstat")

from tools.docs import reading_grade

TEXT = """---
title: Not prose
---
# Not prose

<!-- not prose -->
Give `--a=b.c` to [fit](fit.md#x). It takes version 1.5, e.g. of
**a** file: two cases.

| not | prose |
|---|---|

```bash
not prose
```

* first item
  of two
* Second item.

1. third

!!! note "Not prose"

    A note.
"""


def test_sentences():
    assert reading_grade.sentences(TEXT) == [
        "Give code to fit.",
        "It takes version 15, eg of a file: two cases.",
        "first item of two.",
        "Second item.",
        "third.",
        "A note.",
    ]


def test_grade():
    # 8 words in 2 sentences, with 9 syllables: 0.39 * 4 + 11.8 * 9 / 8 - 15.59.
    text = "The cat sat here.\n\n* The other dog ran\n"
    assert reading_grade.grade(text) == pytest.approx(-0.755, abs=0.01)
    assert reading_grade.grade("```bash\nls\n```\n") == 0


@pytest.mark.parametrize("path", reading_grade.pages(), ids=lambda path: path.name)
def test_pages_are_easy_to_read(path):
    grade = reading_grade.grade(path.read_text("utf-8"))
    assert grade <= reading_grade.MAX_GRADE, (
        f"python tools/docs/reading_grade.py --worst=9 {path} shows what to split"
    )
