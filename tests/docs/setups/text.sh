# Pairs of texts and tags, and vectors of some words.
for i in $(seq 40); do
    echo '{"in0": "A man sleeps.", "in1": ["indoors", "one person"], "label": 1}'
    echo '{"in0": "Two dogs run.", "in1": ["outdoors", "one person"], "label": 0}'
done > train.jsonl
mkdir words
python - > words/glove.6B.300d.txt <<'END'
for word in ("man", "sleeps", "dogs", "run"):
    print(word, *(f"{(len(word) + i) % 7 / 7:.3f}" for i in range(300)))
END
