from object2vec_tf.report.tables import ReportTable


def test_markdown_displays_text_literally():
    table = ReportTable(["a", "b*"], [["x", "1"], ["y\nz|", ""]], bold_rows=[1])
    assert table.markdown() == (
        "| a | b\\* |\n| --- | ---: |\n| x | 1 |\n| **y<br>z\\|** |  |\n"
    )


def test_html_displays_text_literally():
    table = ReportTable(["<a>", "b"], [["x&y", "1"], ["y\n<b>", ""]], bold_rows=[0])
    assert table.html() == (
        '<div class="wide"><table>\n'
        '<tr><th>&lt;a&gt;</th><th class="n">b</th></tr>\n'
        '<tr><td><b>x&amp;y</b></td><td class="n"><b>1</b></td></tr>\n'
        '<tr><td>y<br>&lt;b&gt;</td><td class="n"></td></tr>\n'
        "</table></div>"
    )
