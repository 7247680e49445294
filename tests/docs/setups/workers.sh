# MovieLens's channels.
source "$PYTHONPATH/tests/docs/setups/http.sh"
cp data/movielens/rating/ua.base.fit.jsonl data/movielens/rating/ua.base.jsonl
cp data/movielens/rating/ua.base.held_out.jsonl data/movielens/rating/ua.test.jsonl
