printf 'user,movie,rating\n196,242,3\n' > ratings.csv
