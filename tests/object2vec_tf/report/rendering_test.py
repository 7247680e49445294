import pytest

from object2vec_tf.report.next_steps import Step
from object2vec_tf.report.rendering import escape_markdown, fenced, render_html
from object2vec_tf.report.svg_charts import curves
from object2vec_tf.report.verdict import Verdict


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        (
            "<img> a|b *c* [d](e) `f` \\ &amp;",
            "&lt;img&gt; a\\|b \\*c\\* \\[d\\](e) \\`f\\` \\\\ &amp;amp;",
        ),
        ("mean_squared_error _e_", "mean_squared_error \\_e\\_"),
    ],
)
def test_markdown_displays_text_literally(text, escaped):
    assert escape_markdown(text) == escaped


def test_html_and_svg_escape_values():
    page = render_html("report.html.j2", report=_Report(), sections=[])
    assert "<h1>&lt;b&gt;&#34;&amp;&#39;</h1>" in page
    assert "<b>" not in page
    assert '<text x="62" y="14" class="title">&lt;b&gt;' in curves("<b>", {"a": [1.0]})


class _Report:
    name = "<b>\"&'"
    verdict = Verdict("worse", "<b>", "<b>")
    command = "<b>"
    steps = (Step("<b>", "<b>"),)

    def facts(self):
        return [("<b>", "<b>")]

    def summary(self):
        return self.name


def test_a_fence_is_longer_than_the_backticks_in_it():
    assert fenced("ls `a`") == "```bash\nls `a`\n```"
    assert fenced("ls ````") == "`````bash\nls ````\n`````"
