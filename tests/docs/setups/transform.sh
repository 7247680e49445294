# A run, the run of make demo with one epoch, pairs, and files of pairs.
source "$PYTHONPATH/tests/docs/setups/workers.sh"
for i in $(seq 40); do
    echo "{\"id\": $i, \"in0\": [$i], \"in1\": [$((i % 7))], \"label\": $((i % 2))}"
done > pairs.jsonl
mkdir shards
cp pairs.jsonl shards/0.jsonl
cp pairs.jsonl shards/1.jsonl
python -m object2vec_tf.fit --train=pairs.jsonl --model_dir=run --epochs=1 --enc_dim=8 \
    --enc0_network=pooled_embedding --enc0_vocab_size=100 --enc0_max_seq_len=5
python -m object2vec_tf.fit --flagfile=examples/movielens_rating.flags --epochs=1 \
    --model_dir=runs/movielens_rating
cat > movies.jsonl <<'END'
{"id": "a-17", "in0": [5], "in1": [172], "label": 4}
{"id": 10000000000000000000001, "in0": [5], "in1": [9000]}
{"in0": [6], "in1": [20]}
END
