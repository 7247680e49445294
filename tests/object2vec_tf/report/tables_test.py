from object2vec_tf.report.tables import ReportTable


def test_markdown_displays_text_literally():
    table = ReportTable(["a", "b*"], [["x", "1"], ["y\nz|", ""]], bold_rows=[1])
    assert table.markdown() == (
        "| a | b\\* |\n| --- | ---: |\n| x | 1 |\n| **y<br>z\\|** |  |\n"
    )


def test_html_displays_text_literally():
    table = ReportTable(["<a>", "b"], [["x&y", "1"], ["y\n<b>", ""]], bold_rows=[0])
    assert table.html("<c>") == (
        '<div class="wide" role="region" aria-label="&lt;c&gt;" tabindex="0">'
        '<table aria-label="&lt;c&gt;">\n'
        '<thead><tr><th scope="col">&lt;a&gt;</th>'
        '<th scope="col" class="n">b</th></tr></thead>\n<tbody>\n'
        '<tr class="own"><th scope="row">x&amp;y</th><td class="n">1</td></tr>\n'
        '<tr><th scope="row">y<br>&lt;b&gt;</th><td class="n"></td></tr>\n'
        "</tbody></table></div>"
    )
