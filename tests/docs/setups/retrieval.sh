# A run with items and queries, and movielens_top10's files with made-up ratings.
python - <<'END'
import json
import random
from pathlib import Path


def write(name, objects):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("".join(f"{json.dumps(x)}\n" for x in objects))


def write_names(name, numbers):
    Path(name).write_text("".join(f"Item number {i}\n" for i in numbers))


random.seed(7)
pairs = [(user, item) for user in range(16) for item in random.sample(range(30), 9)]
test = pairs[::9]
known = [pair for pair in pairs if pair not in test]
write("train.jsonl", [{"in0": [u], "in1": [i], "label": 1} for u, i in known])
write("test.jsonl", [{"in0": [u], "in1": [i], "label": 1} for u, i in test])
write("items.jsonl", [{"in1": [i]} for i in range(30)])
write("new_items.jsonl", [{"in1": [i]} for i in range(30, 33)])
write_names("names.tsv", range(30))
write_names("new_names.tsv", range(30, 33))
write("queries.jsonl", [{"in0": [u]} for u in range(3)])

Path("data").unlink(missing_ok=True)
users, movies = range(1, 121), range(1, 61)
likes = {u: random.sample(movies, 20) for u in users}
histories = {m: [1683 + u for u in users if m in likes[u][:18]] for m in movies}


def user(u, without=None):
    return [u, *(944 + m for m in likes[u][:18] if m != without)]


def movie(m, without=None):
    return [m, *(token for token in histories[m] if token != without)]


def positions(u):
    return [m - 1 for m in likes[u][:18]]


for part in ("ua", "validation"):
    directory = f"data/movielens_top10/{part}"
    train = [
        {"in0": user(u, m), "in1": movie(m, 1683 + u), "label": 1, "weight": 1}
        for u in users
        for m in likes[u][:18]
    ]
    write(f"{directory}/train.jsonl", train)
    tests = [
        {"in0": user(u), "in1": movie(m), "label": 1}
        for u in users
        for m in likes[u][18:]
    ]
    write(f"{directory}/test.jsonl", tests)
    write(f"{directory}/items.jsonl", [{"in1": movie(m)} for m in movies])
    requests = [{"in0": user(u), "exclude": positions(u)} for u in users]
    write(f"{directory}/users.jsonl", requests)
write_names("data/movielens_top10/titles.tsv", movies)
END
for part in ua validation; do
    python - data/movielens_top10/$part/train.jsonl <<'END'
import sys
from pathlib import Path

import pyarrow as pa

lines = Path(sys.argv[1])
with pa.CompressedOutputStream(f"{lines}.zst", "zstd") as file:
    file.write(lines.read_bytes())
lines.unlink()
END
done
python -m object2vec_tf.fit --train=train.jsonl --model_dir=run --epochs=2 --enc_dim=8 \
    --enc0_network=pooled_embedding --enc0_vocab_size=40 --enc0_max_seq_len=5
