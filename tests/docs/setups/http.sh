# MovieLens's files as `make data` writes them, with made-up ratings.
rm -f data
mkdir -p data/movielens/rating
python - <<'END'
import json
import random
from pathlib import Path

random.seed(7)
directory = Path("data/movielens")
for name, rows in {"fit": 2000, "held_out": 200}.items():
    with open(directory / f"rating/ua.base.{name}.jsonl", "w") as file:
        for _ in range(rows):
            user, movie = random.randrange(1, 944), random.randrange(1, 1683)
            pair = {"in0": [user], "in1": [movie], "label": 1 + (user + movie) % 5}
            print(json.dumps(pair), file=file)
with open(directory / "items.jsonl", "w") as items:
    with open(directory / "titles.tsv", "w") as titles:
        for movie in range(1, 1683):
            print(json.dumps({"in1": [movie]}), file=items)
            print(f"Movie {movie}", file=titles)
END
