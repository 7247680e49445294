# Pairs of texts and their vocabulary.
for i in $(seq 40); do
    echo '{"in0": "a dog barks", "in1": "an animal is loud", "label": 1}'
    echo '{"in0": "the dog sleeps", "in1": "music plays", "label": 0}'
done > train.jsonl
python -m object2vec_tf.vocabulary build --input=train.jsonl --output=words.json \
    --tokenizer=unicode_script
