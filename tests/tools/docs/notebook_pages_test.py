import json

from tools.docs import notebook_pages

HTML = """<style>.a { color: red }</style>
<script src="https://example.com/a.js">
</script><!-- comment -->
<div class="jp-Collapser jp-InputCollapser">
</div>
<div class="jp-InputPrompt jp-InputArea-prompt">In [1]:</div>
<div class="zeroclipboard-container"><div>
<clipboard-copy><svg></svg></clipboard-copy>
</div>
<div class="highlight-ipynb hl-python"><pre><span></span>a = 1
</pre></div>
<div class="clipboard-copy-txt" id="cell-1">a &lt; 1

b</div>
<h2>Title<a class="anchor-link" href="#title">&para;</a></h2>
<a class="x" href="../docs/data.md">data</a>
<pre>output</pre>
"""


def test_style_of_the_site():
    html = notebook_pages.site_html(
        HTML, lambda target: {"../docs/data.md": "../data.html"}.get(target, target)
    )
    assert [line for line in html.splitlines() if line] == [
        '<div class="highlight"><pre><code><span></span>a = 1',
        "</code></pre></div>",
        '<h2>Title<a class="headerlink" href="#title">&para;</a></h2>',
        '<a class="x" href="../data.html">data</a>',
        "<pre>output</pre>",
    ]


def test_markdown_cells():
    cells = [
        {"cell_type": "markdown", "source": ["# A\n", "b"]},
        {"cell_type": "code", "source": ["c"]},
        {"cell_type": "markdown", "source": ["d"]},
    ]
    assert notebook_pages.markdown_of(json.dumps({"cells": cells})) == "# A\nb\n\nd"
