"""Commands that are killed and started again end with the same results."""

import pytest

from tools.kills import kill_all


@pytest.mark.long
def test_killed_commands_end_with_the_same_results(tmp_path):
    only = ["fit", "export", "neighbors_add", "transform_directory"]
    assert kill_all(4, seed=23, only=only, scratch=tmp_path) == 0
