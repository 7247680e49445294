# An exported model with items.
source "$PYTHONPATH/tests/docs/setups/serving.sh"
python -m export --model_dir=run --export_dir=models/object2vec \
    --items=data/movielens/items.jsonl --labels=data/movielens/titles.tsv
