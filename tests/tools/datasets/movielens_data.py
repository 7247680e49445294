"""A synthetic MovieLens-100k whose splits are known.

The n-th rating of a user (from 0) has item 40 - n and the value n % 5 + 1. So the first
ten ratings of each user have items 40 down to 31, and the next ten items 30 down to 21.
The users take turns in the file: the first 12 of the 64 rows have items 40 to 37.
"""

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tools.datasets.movielens_raw import Rating

RATINGS_PER_USER = {2: 23, 1: 21, 3: 20}
LAST_ITEM = 40
FIRST_ITEM = 18
UA_TEST = [(user, item) for user in (1, 2, 3) for item in range(31, 41)]
UB_TEST = [(user, item) for user in (1, 2, 3) for item in range(21, 31)]
UA_BASE = [
    *((1, item) for item in range(20, 31)),
    *((2, item) for item in range(18, 31)),
    *((3, item) for item in range(21, 31)),
]
UB_BASE = [
    *((1, item) for item in (20, *range(31, 41))),
    *((2, item) for item in (18, 19, 20, *range(31, 41))),
    *((3, item) for item in range(31, 41)),
]
FOLD_TESTS = {
    "u1": [(user, item) for user in (1, 2, 3) for item in range(37, 41)],
    "u2": [(user, item) for user in (1, 2, 3) for item in range(33, 37)],
    "u3": [(user, item) for user in (1, 2, 3) for item in range(29, 33)],
    "u4": [(user, item) for user in (1, 2, 3) for item in range(25, 29)],
    "u5": [(user, item) for user in (1, 2, 3) for item in range(21, 25)],
}
U1_BASE = [
    *((1, item) for item in range(20, 37)),
    *((2, item) for item in range(18, 37)),
    *((3, item) for item in range(21, 37)),
]


def make_rating(user: int, item: int) -> Rating:
    n = LAST_ITEM - item
    return Rating(user, item, n % 5 + 1, 880_000_000 + 1_000 * user + n)


def ratings_in_file_order() -> list[Rating]:
    """Interleaves the users, as u.data does."""
    return [
        make_rating(user, LAST_ITEM - n)
        for n in range(max(RATINGS_PER_USER.values()))
        for user, count in RATINGS_PER_USER.items()
        if n < count
    ]


def original_bytes(pairs: Sequence[tuple[int, int]]) -> bytes:
    rows = (make_rating(*pair) for pair in pairs)
    return "".join(
        f"{row.user}\t{row.item}\t{row.rating}\t{row.timestamp}\n" for row in rows
    ).encode()


DIGESTS = {
    name: hashlib.md5(original_bytes(pairs)).hexdigest()
    for name, pairs in (
        ("ua.base", UA_BASE),
        ("ua.test", UA_TEST),
        ("ub.base", UB_BASE),
        ("ub.test", UB_TEST),
        ("u1.base", U1_BASE),
        *((f"{fold}.test", pairs) for fold, pairs in FOLD_TESTS.items()),
    )
}


def u_data() -> bytes:
    return original_bytes([(row.user, row.item) for row in ratings_in_file_order()])


def u_item() -> bytes:
    """Lists the items in reverse order, so that the code has to sort them."""
    items = range(LAST_ITEM, FIRST_ITEM - 1, -1)
    flags = "0|0|0|0|0|1|0|0|1|0|0|0|0|0|0|0|0|0|0"  # Comedy and Drama
    return "".join(
        f"{item}|Café {item} (1993)|01-Jan-1993||http://example.org|{flags}\n"
        for item in items
    ).encode("latin-1")


def write_wheel(path: Path) -> Path:
    """Writes the files of a recbole wheel that the script reads."""
    items = "".join(
        f"{item}\tCafé {item}\t1993\tComedy Drama\n"
        for item in range(FIRST_ITEM, LAST_ITEM + 1)
    )
    folder = "recbole/dataset_example/ml-100k"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(
            f"{folder}/ml-100k.inter",
            b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + u_data(),
        )
        wheel.writestr(
            f"{folder}/ml-100k.item",
            "item_id:token\tmovie_title:token_seq\trelease_year:token\t"
            f"class:token_seq\n{items}",
        )
    return path
