from pathlib import Path

import pytest

from tests.tools.datasets.movielens_data import u_data, u_item


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    (folder / "u.data").write_bytes(u_data())
    (folder / "u.item").write_bytes(u_item())
    return folder
