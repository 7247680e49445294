# Ratings of two days, a user, and the movies.
head -n 2000 data/movielens/rating/ua.base.fit.jsonl > day1.jsonl
tail -n 2000 data/movielens/rating/ua.base.fit.jsonl > day2.jsonl
echo '{"in0": [196]}' > users.jsonl
cp data/movielens/items.jsonl .
