# MovieLens's channels, and the study's flags with narrower ranges.
source "$PYTHONPATH/tests/docs/setups/workers.sh"
rm examples
mkdir examples
sed 's/^--tune=.*/--tune=dropout,learning_rate\n--epochs=1/' \
    "$PYTHONPATH/examples/movielens_tune.flags" > examples/movielens_tune.flags
