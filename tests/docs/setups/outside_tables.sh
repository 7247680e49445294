# A run on texts, and pairs to score.
for i in $(seq 40); do
    echo '{"in0": "a dog barks", "in1": "an animal is loud", "label": 1}'
    echo '{"in0": "the dog sleeps", "in1": "music plays", "label": 0}'
done > pairs.jsonl
mkdir words
python -m object2vec_tf.vocabulary build --input=pairs.jsonl --output=words/vocab.json \
    --tokenizer=whitespace
python -m object2vec_tf.fit --train=pairs.jsonl --auxiliary=words --model_dir=run \
    --enc0_network=pooled_embedding --enc_dim=8 --epochs=1 --enc0_max_seq_len=8 \
    --enc0_tokenizer=whitespace --enc0_vocab_file=vocab.json
