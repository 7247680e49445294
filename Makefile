# The first supported Python on the path; override with PYTHON=/path/to/python make ...
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && echo $$python && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
# With a path file: a directory named export would hide setuptools' import hook.
EDITABLE := --config-settings editable_mode=compat
RUN ?= runs/movielens_rating
MOVIELENS := data/movielens
TOP10 := data/movielens_top10
TOP10_RUN ?= runs/movielens_top10

.DEFAULT_GOAL := help
.PHONY: help demo data texts documents notebooks docs docs-serve check-links test test-all test-gpu test-oldest test-newest audit doctest lint types results results-ratings results-recommendation results-top10 results-retraining results-sentences results-texts results-documents results-tags docs-results bench bench-peers format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-23s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; PYTHON=/path/to/python make ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/base: setup.py pyproject.toml | $(VENV)/pyvenv.cfg
	@echo 'Installing TensorFlow and other packages into $(VENV): some minutes, 2.5 GB on disk'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(EDITABLE) --editable '.[neighbors,tune]'
	@touch $@

$(VENV)/test: setup.py pyproject.toml | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile $(EDITABLE) --editable '.[test]'
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true # pip compiles on one core only
	@touch $(VENV)/base $@

data: $(VENV)/base ## Fetch MovieLens-100k into data/movielens
	$(BIN)/python tools/datasets/movielens.py --output=$(MOVIELENS)

WORDS := --tokenizer=unicode_script --lowercase --min_count=2

.PRECIOUS: data/%/manifest.json data/%/vocab.json
data/%/vocab.json: data/%/manifest.json
	$(BIN)/python -m object2vec_tf.vocabulary build --input='$(dir $@)*.jsonl' --output=$@ --tokenizer=unicode_script --lowercase

data/debian/retrieval/vocab.json: data/debian/manifest.json
	$(BIN)/python -m object2vec_tf.vocabulary build --input=data/debian/retrieval/train.jsonl --output=$@ --tokenizer=unicode_script --lowercase

data/debian/tags/vocab.json: data/debian/manifest.json
	$(BIN)/python -m object2vec_tf.vocabulary build --input=data/debian/tags/train.jsonl --fields=in0 --output=$@ $(WORDS) --distinct
	$(BIN)/python -m object2vec_tf.vocabulary build --input=data/debian/tags/tags.jsonl --fields=in1 --output=data/debian/tags/tags.json

data/wikipedia/vocab.json: data/wikipedia/manifest.json
	$(BIN)/python -m object2vec_tf.vocabulary build --input=data/wikipedia/train.jsonl --output=$@ $(WORDS)

data/wikipedia/manifest.json: $(VENV)/base
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(EDITABLE) --editable '.[datasets]'
	$(BIN)/python tools/datasets/wikipedia.py --output=data/wikipedia

data/glove/manifest.json: $(VENV)/base
	$(BIN)/python tools/datasets/glove.py --output=data/glove

data/%/manifest.json: $(VENV)/base
	$(BIN)/python tools/datasets/$*.py --output=data/$* $(if $(SOURCE),--source=$(SOURCE))

texts: $(VENV)/base data/glove/manifest.json data/snli/vocab.json data/stsb/vocab.json ## Fetch SNLI, STS-B and GloVe (SOURCE=directory of the first two)

documents: $(VENV)/base data/wikipedia/vocab.json data/debian/retrieval/vocab.json data/debian/tags/vocab.json ## Make Wikipedia's and Debian's pairs (Debian's lists: apt-get -o Acquire::Languages=en update)

demo: data/movielens_top10/manifest.json ## Train on MovieLens-100k, export, show similar and recommended movies
	$(BIN)/python -m object2vec_tf.fit --flagfile=examples/movielens_rating.flags --model_dir=$(RUN) \
		--items=$(MOVIELENS)/items.jsonl --labels=$(MOVIELENS)/titles.tsv
	$(BIN)/python -m tools.nearest_titles --model=$(RUN)/export --items=$(MOVIELENS)/items.jsonl --titles=$(MOVIELENS)/titles.tsv
	$(BIN)/python -m object2vec_tf.fit --flagfile=examples/movielens_top10.flags --model_dir=$(TOP10_RUN) \
		--mini_batch_size=1024 --epochs=2
	$(BIN)/python -m export --model_dir=$(TOP10_RUN) --export_dir=$(TOP10_RUN)/recommend \
		--items=$(TOP10)/ua/items.jsonl --labels=$(TOP10)/titles.tsv
	$(BIN)/python -m tools.unseen_titles --model=$(TOP10_RUN)/recommend --users=$(TOP10)/ua/users.jsonl

data/movielens_top10/manifest.json: data
	$(BIN)/python tools/datasets/movielens_top10.py --output=$(TOP10)

data/movielens_history/manifest.json: data
	$(BIN)/python tools/datasets/movielens_history.py --output=data/movielens_history

# Each target trains the recipes of a part of docs/results.md, measures other models, and
# renders the page. Finished runs are kept in runs/results and not repeated.
TRAIN := $(BIN)/python -m tools.benchmarks.results
RENDER := $(BIN)/python -m tools.docs.results

results: results-ratings results-recommendation results-top10 results-retraining results-sentences results-documents results-tags ## Measure all tables of docs/results.md (five hours)

results-ratings: data/movielens_history/manifest.json data/movielens_times/manifest.json ## Ratings of MovieLens-100k (two hours)
	$(TRAIN) --recipes=movielens_times_u1,movielens_u1,movielens_rating --seeds=5
	$(TRAIN) --recipes=movielens_times,movielens_times_ub --seeds=3
	$(TRAIN) --recipes=movielens_times_u2,movielens_times_u3,movielens_times_u4,movielens_times_u5 --seeds=1
	$(TRAIN) --recipes=movielens_history,movielens_history_ub,movielens_rating_aws --seeds=3
	$(BIN)/python -m tools.benchmarks.ratings --splits=ua,ub,u1
	$(RENDER)

results-recommendation: data/movielens_history/manifest.json ## Classes of MovieLens-100k (half an hour)
	$(TRAIN) --recipes=movielens_recommendation --seeds=5
	$(TRAIN) --recipes=movielens_history_recommendation,movielens_recommendation_aws --seeds=3
	$(BIN)/python -m tools.benchmarks.ratings
	$(RENDER)

results-top10: data/movielens_top10/manifest.json ## Ten unseen movies of MovieLens-100k (half an hour)
	$(TRAIN) --recipes=movielens_top10,movielens_top10_ub --seeds=5
	$(BIN)/python -m tools.benchmarks.top10
	$(RENDER)

results-retraining: data/movielens_weeks/manifest.json ## Retraining week by week (20 minutes)
	$(BIN)/python -m tools.benchmarks.retraining --tables=weeks
	$(RENDER)

results-sentences: texts ## Sentences: SNLI and STS-B (half an hour)
	$(TRAIN) --recipes=snli_tied,snli_bilstm,snli_hcnn,stsb_tied,stsb_bilstm,stsb_pooled --seeds=3
	$(BIN)/python -m tools.benchmarks.sentence_baselines
	$(BIN)/python tools/datasets/small_pairs.py --output=data/small_pairs
	$(BIN)/python -m tools.benchmarks.small_pairs
	$(BIN)/python -m tools.benchmarks.retraining --tables=transfer
	$(RENDER)

results-texts: results-sentences

results-documents: documents ## Documents: Wikipedia and Debian (an hour)
	$(TRAIN) --recipes=wikipedia_retrieval,wikipedia_in_batch,debian_retrieval,debian_in_batch --seeds=3
	$(BIN)/python -m tools.benchmarks.retrieval --tasks=wikipedia,debian
	$(BIN)/python -m tools.benchmarks.shared_words
	$(RENDER)

docs-results: $(VENV)/base ## Render docs/results.md and README's results from results/*.json
	$(RENDER)

$(VENV)/docs: setup.py pyproject.toml | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(EDITABLE) --editable '.[docs]'
	@touch $(VENV)/base $@

# Both variables turn off notices about successors of MkDocs.
MKDOCS := NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/python -m mkdocs

# With --quiet, --strict would not see warnings.
docs: $(VENV)/docs ## Build the documentation site in site/; a warning is an error
	$(MKDOCS) build --strict

docs-serve: $(VENV)/docs ## Show the documentation site at http://127.0.0.1:8000, and follow changes
	$(MKDOCS) serve --strict --dev-addr=127.0.0.1:8000

check-links: $(VENV)/base ## Ask the hosts that the documentation links to (needs the network)
	$(BIN)/python tools/docs/check_links.py

notebooks: $(VENV)/docs ## Execute the notebooks and store their outputs (10 minutes; needs the data)
	$(BIN)/python -m tools.docs.notebooks

results-tags: documents ## Tags of Debian's packages (half an hour)
	$(TRAIN) --recipes=debian_tags --seeds=3
	$(BIN)/python -m tools.benchmarks.retrieval --tasks=tags
	$(RENDER)

bench: $(VENV)/base ## Time serving and training beside what else there is (half an hour)
	$(BIN)/python -m tools.benchmarks.serving --rounds=3
	$(BIN)/python -m tools.benchmarks.transform
	$(BIN)/python -m tools.benchmarks.input
	$(BIN)/python -m tools.benchmarks.large_data
	$(BIN)/python -m tools.benchmarks.vectors
	$(BIN)/python -m tools.benchmarks.row_sparse
	$(BIN)/python -m tools.benchmarks.row_sparse --memory
	$(BIN)/python -m tools.benchmarks.encoders
	$(BIN)/python -m tools.benchmarks.negatives
	$(BIN)/python -m tools.benchmarks.strategies

bench-peers: data ## Time training beside torch and others; show that results stay (an hour)
	$(BIN)/python -m tools.benchmarks.peers
	$(BIN)/python -m tools.benchmarks.same_results

lint: $(VENV)/test ## Check style, spelling and the order of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/lint-imports

types: $(VENV)/test ## Check types
	$(BIN)/mypy

test: lint ## Lint, types, examples and tests: under 10 minutes on 2 cores
	$(MAKE) --jobs=2 --output-sync=target types doctest
	$(BIN)/python -m pytest -m 'not long and not network' --numprocesses=2 --dist=worksteal

# Python 3.11: later versions need later packages.
OLDEST_PYTHON ?= python3.11
OLDEST := $(VENV)-oldest
NEWEST := $(VENV)-newest

$(OLDEST)/test: setup.py pyproject.toml tools/dependencies.py
	$(OLDEST_PYTHON) -m venv $(OLDEST)
	$(OLDEST_PYTHON) tools/dependencies.py lowest --extras=test,neighbors,onnx,tune > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check $(EDITABLE) \
		--constraint $(OLDEST)/constraints.txt --editable '.[test]'
	@touch $@

$(NEWEST)/test: setup.py pyproject.toml
	$(PYTHON) -m venv --clear $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check $(EDITABLE) --editable '.[test]'
	@touch $@

test-oldest: $(OLDEST)/test ## Tests with the lowest allowed versions of all dependencies
	$(MAKE) BIN=$(OLDEST)/bin checks

test-newest: $(NEWEST)/test ## Tests with the newest allowed versions, in a new environment
	$(MAKE) BIN=$(NEWEST)/bin checks

.PHONY: checks
checks:
	$(BIN)/python -m pip freeze --exclude-editable > $(BIN)/../versions.txt
	$(BIN)/python -m pytest --doctest-modules object2vec_tf export
	$(BIN)/python -m pytest -m 'not long and not network' --numprocesses=2 --dist=worksteal

$(VENV)-audit/pyvenv.cfg:
	$(PYTHON) -m venv $(VENV)-audit

audit: $(VENV)/test $(VENV)-audit/pyvenv.cfg ## Look for known vulnerabilities of dependencies (needs the network)
	@$(VENV)-audit/bin/python -m pip install --quiet --disable-pip-version-check --retries 1 --timeout 10 pip-audit \
		|| { echo "audit: not possible: pip-audit cannot be installed"; exit 0; } \
		&& $(VENV)-audit/bin/python tools/dependencies.py audit --python=$(BIN)/python

test-gpu: $(VENV)/test ## Tests on a GPU: those that need one, and those of models
	$(BIN)/python -m pytest -p no:benchmark -m 'gpu'
	$(BIN)/python -m pytest -p no:benchmark -m 'not long and not network and not gpu' \
		tests/object2vec_tf/model tests/object2vec_tf/layers tests/object2vec_tf/optimizers

doctest: $(VENV)/test ## Run the examples in docstrings
	$(BIN)/python -m pytest --doctest-modules object2vec_tf export

test-all: lint types doctest docs ## All tests, with the long ones and those of a Ray cluster
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(EDITABLE) --editable '.[test-all]'
	$(BIN)/python -m pytest

format: $(VENV)/test ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the environment and build files; keep data and runs
	rm -rf site $(VENV) $(OLDEST) $(NEWEST) $(VENV)-audit build dist *.egg-info .import_linter_cache .mypy_cache .ruff_cache .pytest_cache
