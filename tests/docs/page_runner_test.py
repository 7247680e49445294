"""The program that runs the blocks of pages finds blocks that fail."""

import socket

import pytest

from tests.docs.code_blocks import ROOT, Block, PageRunner, blocks_of


def run(*blocks):
    numbered = [Block(i, *block) for i, block in enumerate(blocks, 1)]
    runner = PageRunner(ROOT / "README.md", numbered)
    return runner, runner.run()


def output(text):
    return "text", text, None, None, True


def test_comments_control_the_next_block(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        """
<!-- skip: next "needs a GPU" -->
```bash
exit 1
```

<!-- server: 8080 -->
```bash
serve
```

```bash
echo 1
```

<!-- output -->
```text
1
```

    indented
"""
    )
    assert blocks_of(page) == [
        Block(4, "bash", "exit 1\n", skip="needs a GPU"),
        Block(9, "bash", "serve\n", port=8080),
        Block(13, "bash", "echo 1\n"),
        Block(18, "text", "1\n", is_output=True),
        Block(21, None, "indented\n"),
    ]
    assert [block.runs for block in blocks_of(page)] == [
        False,
        True,
        True,
        False,
        False,
    ]


def test_python_blocks_share_a_namespace():
    python = ("python", "x = 1\nprint(x)\n")
    assert run(python, output("1\n"), ("pycon", ">>> x + 1\n2\n"))[1] == 2


@pytest.mark.parametrize(
    "blocks",
    [
        [("bash", "false\ntrue\n")],
        [("bash", "false | cat\n")],
        [("bash", "echo 1\n"), output("2\n")],
        [("pycon", ">>> 1 + 1\n3\n")],
        [("python", "assert False\n")],
        [("bash", """echo '{"error": "no model"}'\n"""), ("json", "{}")],
    ],
)
def test_a_block_that_fails_is_found(blocks):
    with pytest.raises(AssertionError):
        run(*blocks)


def test_a_page_may_show_an_http_error():
    error = """{"error": "no model"}\n"""
    assert run(("bash", f"echo '{error}'"), ("json", error))[1] == 1


def test_a_server_runs_on_a_free_port_until_the_end_of_the_page():
    serve = "python -m http.server --bind=127.0.0.1 80\n"
    runner, count = run(
        ("bash", serve, None, 80), ("bash", "curl -s 127.0.0.1:80 > /dev/null\n")
    )
    assert count == 2
    assert not runner.servers
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", runner.ports[80]), 1)
