from object2vec_tf.report.tables import Table, plain_markdown


def test_markdown_shows_a_text_as_it_stands():
    assert plain_markdown("<img> a|b *c* [d](e) `f` \\ &amp;") == (
        "&lt;img&gt; a\\|b \\*c\\* \\[d\\](e) \\`f\\` \\\\ &amp;amp;"
    )
    assert plain_markdown("mean_squared_error _e_") == "mean_squared_error \\_e\\_"
    table = Table(["a", "b"], [["x", "1"], ["y\nz", ""]], strong=[1])
    assert table.markdown() == (
        "| a | b |\n| --- | ---: |\n| x | 1 |\n| **y<br>z** |  |\n"
    )


def test_html_shows_a_text_as_it_stands():
    table = Table(["<a>", "b"], [["x&y", "1"], ["y\n<b>", ""]], strong=[0])
    assert table.html() == (
        '<div class="wide"><table>\n'
        '<tr><th>&lt;a&gt;</th><th class="n">b</th></tr>\n'
        '<tr><td><b>x&amp;y</b></td><td class="n"><b>1</b></td></tr>\n'
        '<tr><td>y<br>&lt;b&gt;</td><td class="n"></td></tr>\n'
        "</table></div>"
    )
