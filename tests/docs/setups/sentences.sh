# Some pairs of data/snli as the user's, and a model to start from.
mkdir pairs
head -n 300 data/snli/train.jsonl > pairs/train.jsonl
head -n 100 data/snli/validation.jsonl > pairs/validation.jsonl
python -m object2vec_tf.vocabulary build --input='pairs/*.jsonl' \
    --output=words/vocab.json --tokenizer=unicode_script --lowercase
python -m object2vec_tf.fit --flagfile=examples/small_pairs.flags --epochs=1 \
    --train=pairs/train.jsonl --auxiliary=words/vocab.json,data/glove/glove.6B.50d.txt \
    --num_classes=3 --model_dir=runs/snli_tied
