"""docs/troubleshooting.md has the messages of the source, and no others."""

import pytest

from tests.docs.error_messages import (
    covers,
    messages,
    missing_messages,
    page_messages,
    unknown_messages,
)


@pytest.mark.long
def test_messages_of_the_page_are_in_the_source():
    assert len(page_messages()) > 200
    assert not unknown_messages()


def test_messages_of_the_doors_are_on_the_page():
    """Add a message to the page, or change it there, when the source does."""
    assert len(messages()) > 300
    assert not missing_messages()


def test_a_message_covers_its_template_only():
    template = "{}: expected an id below {}, got {}. {}"
    assert covers("FIELD: expected an id below N, got ID", template)
    assert not covers("FIELD: expected a word below N, got ID", template)
    assert not covers("expected N, got N", template)
