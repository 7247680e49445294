import pytest

from tools.docs import repository_links as pages

PAGE = """# Title

[a](a.md#part "A title") and [b](../b/c.flags), `[no](no.md)`, ``[no](`.md)``.
<img src="images/d.png" alt="d">

```text
[no](no.md)
~~~
```

[name]: e.md
"""


def test_links():
    assert pages.links(PAGE) == ["a.md#part", "../b/c.flags", "images/d.png", "e.md"]


def test_replaced_links():
    text = pages.replace_links(PAGE, lambda target: f"x/{target}")
    assert text.replace("x/", "") == PAGE
    assert text.count("x/") == 4


@pytest.mark.parametrize(
    ("target", "page", "path"),
    [
        ("data.md", "docs/keras.md", "docs/data.md"),
        ("../examples/a.flags#L3", "docs/keras.md", "examples/a.flags"),
        ("../../README.md", "docs/api/index.md", "README.md"),
        ("docs/data.md", "README.md", "docs/data.md"),
        ("#part", "README.md", None),
        ("/data.md", "README.md", None),
        ("https://example.com", "README.md", None),
        ("mailto:a@example.com", "README.md", None),
    ],
)
def test_path_in_the_repository(target, page, path):
    assert pages.resolve(target, page) == path


@pytest.mark.parametrize(
    ("path", "is_directory", "source"),
    [
        ("docs/data.md", False, "data.md"),
        ("docs/images/a.png", False, "images/a.png"),
        ("notebooks/a.ipynb", False, "notebooks/a.ipynb"),
        ("CHANGELOG.md", False, "changelog.md"),
        ("CONTRIBUTING.md", False, "repository/CONTRIBUTING.md"),
        ("examples/a.flags", False, "repository/examples/a.flags.md"),
        ("examples", True, "repository/examples/index.md"),
    ],
)
def test_page_of_the_site(path, is_directory, source):
    assert pages.site_path(path, is_directory) == source


def test_relative_link():
    link = pages.relative_link("repository/a.md", "api/index.md", "../../a.md#part")
    assert link == "../repository/a.md#part"


def test_a_block_of_code_that_does_not_end_is_an_error():
    with pytest.raises(ValueError, match="is not closed: '```bash"):
        list(pages.split_code("Text.\n\n```bash\nls\n"))
