import pytest

from tools.docs.marked_text import put_into


def test_the_text_replaces_the_text_between_the_markers():
    page = "before\n<!-- source map -->\nold\n<!-- end of source map -->\nafter\n"
    new = put_into(page, "source map", "\n- new\n\n")
    assert new == (
        "before\n<!-- source map -->\n\n- new\n\n<!-- end of source map -->\nafter\n"
    )
    assert put_into(new, "source map", "\n- new\n\n") == new


@pytest.mark.parametrize(
    "page", ["no marker\n", "<!-- source map -->\n", "<!-- end of source map -->\n"]
)
def test_a_page_without_both_markers_is_an_error(page):
    with pytest.raises(ValueError, match="has no <!-- source map -->"):
        put_into(page, "source map", "")
