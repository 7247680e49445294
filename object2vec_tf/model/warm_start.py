"""Warm start: the weights that a new model takes from an earlier one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from object2vec_tf.errors import UserError
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.layers.table_placement import Table
from object2vec_tf.model.builders import (
    tables_of,
    token_tables_of,
    with_small_tables,
)
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.tables.table_reader import rows_per_chunk
from object2vec_tf.text.row_matching import NEW, TableRows, match_rows
from object2vec_tf.text.text_assets import IdWords
from object2vec_tf.text.tokenizer import Tokenizer
from object2vec_tf.text.tokenizer_loading import Tokenizers

# The layer with the learned temperature; a fixed one is a setting.
_TEMPERATURE = "in_batch_softmax"


# The size of a token table, and the tokenizer or the words of its ids.
_Table = tuple[int, Tokenizer | None, bytes | None]


@dataclasses.dataclass(frozen=True)
class TableStart:
    """The rows that a token table takes from earlier tables.

    Attributes:
        sources: Pairs of an earlier encoder, whose table is read, and the row of that
            table for each row of the new one, int64 ``[vocab_size]``, or `NEW`. The
            first source that has a row wins.
        matched_by: ``word`` or ``id``.
        ngrams: The earlier encoder whose vectors of n-grams are taken; None if they are
            new, or if there are none.
    """

    sources: tuple[tuple[int, npt.NDArray[np.int64]], ...]
    matched_by: str
    ngrams: int | None = None

    @property
    def taken(self) -> int:
        """Number of rows that are taken."""
        known = [rows != NEW for _, rows in self.sources]
        return int(np.count_nonzero(np.any(known, axis=0))) if known else 0

    def copy(self, table: Table, earlier: Sequence[Table | None]) -> None:
        """Assigns the rows that are taken.

        Args:
            table: Vectors or weights by token, ``[vocab_size, ...]``. More rows stay as
                they are, and a replica with a shard of the table takes its own rows.
            earlier: Those of the earlier encoders 0 and 1; None for one without.
        """
        for source, rows in reversed(self.sources):
            former = earlier[source]
            if former is not None:
                _copy_rows(table, former, rows)


def _copy_rows(table: Table, former: Table, rows: npt.NDArray[np.int64]) -> None:
    """Assigns rows of another table in chunks, whether the tables are in memory or not.

    Args:
        table: The table.
        former: The other table.
        rows: The row of the other table for each row of the table, or `NEW`.
    """
    assert table.variable is not None
    shard, shards = table.shard
    taken = rows[shard::shards]
    positions = np.flatnonzero(taken != NEW)
    step = rows_per_chunk(table.width)
    for start in range(0, len(positions), step):
        chunk = positions[start : start + step]
        values = former.lookup(tf.constant(taken[chunk]))
        table.variable.value.scatter_update(
            tf.IndexedSlices(values, tf.constant(chunk))
        )


class WarmStart:
    """The weights that a model takes from an earlier model.

    The rows of token tables are matched one by one (`row_matching`). The weights of
    another layer are taken together if the earlier model has a layer of the same name
    with weights of the same shapes; for a layer of the comparator, if also those below
    it are taken. Everything else keeps its initial values.

    Args:
        hyperparameters: The new model's hyperparameters.
        tokenizers: The new model's tokenizers.
        earlier: The earlier model.
        id_words: The new model's vocabularies of sides of ids, as in `Object2Vec`.

    Attributes:
        tables: The rows that the table of each encoder takes, by encoder.
        taken: Names of the layers whose weights are taken, without tables.
        fresh: Names of the layers of the new model that keep their initial weights, and
            of the tables whose vectors have another width.

    Raises:
        UserError: No weight of the earlier model fits.

    Example:
        >>> import numpy as np
        >>> import object2vec_tf as o2v
        >>> from object2vec_tf.model.warm_start import WarmStart
        >>> settings = {
        ...     "enc0_network": "pooled_embedding",
        ...     "enc0_max_seq_len": 3,
        ...     "enc_dim": 4,
        ... }
        >>> earlier = o2v.Object2Vec(settings | {"enc0_vocab_size": 5})
        >>> model = o2v.Object2Vec(settings | {"enc0_vocab_size": 7}, seed=1)
        >>> start = WarmStart(model.hyperparameters, model.tokenizers, earlier)
        >>> start.apply(model)
        >>> first, second = (m.enc0.weights[0].numpy() for m in (model, earlier))
        >>> np.array_equal(first[:5], second)
        True
        >>> start.summary()["enc0_rows"]
        {'taken': 5, 'new': 2}
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        tokenizers: Tokenizers,
        earlier: Object2Vec,
        id_words: IdWords = (None, None),
    ) -> None:
        self._hyperparameters = hyperparameters
        self._earlier = earlier
        self.tables = {
            encoder: self._table(encoder, tokenizers, id_words) for encoder in (0, 1)
        }
        layers = _layers(_small_model(hyperparameters))
        if hyperparameters.tied_encoders:  # one layer; that of enc0 is taken
            layers = {n: v for n, v in layers.items() if not n.startswith("enc1/")}
        earlier_layers = _layers(earlier)
        self.taken: list[str] = []
        for name, weights in layers.items():
            if (
                _shapes(weights) == _shapes(earlier_layers.get(name, {}))
                and self._is_comparable(name)
                and self._has_its_input(name, layers)
            ):
                self.taken.append(name)
        self.fresh = [
            f"enc{encoder}/token_embedding"
            for encoder, table in self.tables.items()
            if not table.sources
        ]
        self.fresh += [
            f"enc{encoder}/token_weights"
            for encoder, table in self.tables.items()
            if hyperparameters.weights_tokens(encoder)
            and not any(
                earlier.hyperparameters.weights_tokens(source)
                for source, _ in table.sources
            )
        ]
        self.fresh += [name for name in layers if name not in self.taken]
        if not self.taken and not any(table.taken for table in self.tables.values()):
            raise UserError(
                "initial_model: expected a model with weights that fit, got one with "
                f"{_architecture(earlier.hyperparameters)}, where this run has "
                f"{_architecture(hyperparameters)}. Give a model with the same "
                "enc_dim and networks, or train without initial_model."
            )

    def _table(
        self, encoder: int, tokenizers: Tokenizers, id_words: IdWords
    ) -> TableStart:
        """Returns the rows that the table of an encoder takes."""
        new, earlier = self._hyperparameters, self._earlier.hyperparameters
        # A shared table may continue two separate ones.
        joins = new.tied_token_embedding_weight > earlier.tied_token_embedding_weight
        sources = []
        matched_by = "id"
        for source in (0, 1) if joins else (encoder,):
            if new.of_encoder(encoder, "token_embedding_dim") != earlier.of_encoder(
                source, "token_embedding_dim"
            ):
                continue
            rows, earlier_rows = _table_rows(
                (
                    new.of_encoder(encoder, "vocab_size"),
                    tokenizers[encoder],
                    id_words[encoder],
                ),
                (
                    earlier.of_encoder(source, "vocab_size"),
                    self._earlier.tokenizers[source],
                    self._earlier.id_words[source],
                ),
            )
            if rows.words is not None and earlier_rows.words is not None:
                matched_by = "word"
            sources.append((source, match_rows(rows, earlier_rows)))
        return TableStart(tuple(sources), matched_by, self._ngrams(encoder, sources))

    def _ngrams(
        self, encoder: int, sources: Sequence[tuple[int, npt.NDArray[np.int64]]]
    ) -> int | None:
        """Returns the first earlier encoder with the same n-grams, if there is one."""
        own = self._hyperparameters.subwords(encoder)
        if own is None:
            return None
        for source, _ in sources:
            other = self._earlier.hyperparameters.subwords(source)
            if other is not None and other.has_same_ngrams(own):
                return source
        return None

    def _is_comparable(self, name: str) -> bool:
        """Returns whether a layer's weights have the same meaning in both models."""
        new, earlier = self._hyperparameters, self._earlier.hyperparameters
        first = "comparator/mlp_0" if new.mlp_layers else "comparator/output"
        return name != first or new.operators == earlier.operators

    def _has_its_input(
        self, name: str, layers: Mapping[str, Mapping[str, keras.Variable]]
    ) -> bool:
        """Returns whether all layers of the comparator below a layer are taken."""
        if not name.startswith("comparator/"):
            return True
        names = [other for other in layers if other.startswith("comparator/")]
        return all(below in self.taken for below in names[: names.index(name)])

    def apply(self, model: Object2Vec) -> None:
        """Assigns the weights that are taken.

        Args:
            model: A new model with the hyperparameters and tokenizers given above.
        """
        earlier, new = (
            [tables_of(encoder) for encoder in (owner.enc0, owner.enc1)]
            for owner in (self._earlier, model)
        )
        for encoder, table in self.tables.items():
            for name, own in new[encoder].items():
                if name != "ngrams":
                    table.copy(own, [tables.get(name) for tables in earlier])
                elif table.ngrams is not None:
                    _copy_rows(own, earlier[table.ngrams][name], np.arange(own.rows))
        by_name, earlier_by_name = _layers(model), _layers(self._earlier)
        for name in self.taken:
            for path, variable in by_name[name].items():
                variable.assign(earlier_by_name[name][path])

    def takes(self, name: str) -> bool:
        """Returns whether the weights of a layer are taken."""
        return name in self.taken

    def summary(self) -> dict[str, Any]:
        """Returns what is taken, as in metrics.json."""
        rows = {
            f"enc{encoder}_rows": {
                "taken": table.taken,
                "new": self._hyperparameters.of_encoder(encoder, "vocab_size")
                - table.taken,
            }
            for encoder, table in self.tables.items()
        }
        matched_by = {
            f"enc{encoder}": table.matched_by for encoder, table in self.tables.items()
        }
        ngrams = {
            f"enc{encoder}_ngrams": {
                "taken": 0 if table.ngrams is None else subwords.buckets,
                "new": subwords.buckets if table.ngrams is None else 0,
            }
            for encoder, table in self.tables.items()
            if (subwords := self._hyperparameters.subwords(encoder)) is not None
        }
        return {
            **rows,
            **ngrams,
            "matched_by": matched_by,
            "taken": list(self.taken),
            "fresh": list(self.fresh),
        }


def _table_rows(first: _Table, second: _Table) -> tuple[TableRows, TableRows]:
    """Returns the meaning of the rows of two tables."""
    rows = []
    for table, other in ((first, second), (second, first)):
        size, tokenizer, id_words = table
        if tokenizer is None and id_words is None and _has_id_tokenizer(other):
            # Ids that one model uses as they are, are words of the other's vocabulary.
            ids = {str(id_): id_ for id_ in range(size)}
            rows.append(TableRows(size, ids, size))
        else:
            rows.append(TableRows.of_input(size, tokenizer, id_words))
    return rows[0], rows[1]


def _has_id_tokenizer(table: _Table) -> bool:
    tokenizer = table[1]
    return tokenizer is not None and tokenizer.tokenization.tokenizer == "id"


def _small_model(hyperparameters: Hyperparameters) -> Object2Vec:
    """Returns a model of the same layers, whose token tables have two rows."""
    return Object2Vec(with_small_tables(hyperparameters))


def _layers(model: Object2Vec) -> dict[str, dict[str, keras.Variable]]:
    """Returns the weights of each layer except token tables, by layer and path."""
    layers: dict[str, dict[str, keras.Variable]] = {}
    for part, variable in _weights(model):
        name = f"{part}/{variable.path.rpartition('/')[0]}"
        layers.setdefault(name, {})[variable.path] = variable
    if model.in_batch_softmax is not None and model.hyperparameters.learn_temperature:
        variable = model.in_batch_softmax.log_temperature
        layers[_TEMPERATURE] = {variable.path: variable}
    return layers


def _weights(model: Object2Vec) -> Iterator[tuple[str, keras.Variable]]:
    encoders = model.enc0, model.enc1
    tables = {id(table) for x in encoders for table in token_tables_of(x).values()}
    for part in ("enc0", "enc1", "comparator"):
        for variable in getattr(model, part).weights:
            if id(variable) not in tables:
                yield part, variable


def _shapes(weights: Mapping[str, keras.Variable]) -> dict[str, tuple[int, ...]]:
    return {path: tuple(variable.shape) for path, variable in weights.items()}


def _architecture(hyperparameters: Hyperparameters) -> str:
    networks = [f"enc{i}_network={hyperparameters.network(i)}" for i in (0, 1)]
    return f"enc_dim={hyperparameters.enc_dim}, {', '.join(networks)}"
