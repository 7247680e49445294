"""The state of `Object2Vec` that Keras saves besides weights, and what it cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from object2vec_tf.files.digests import FILES
from object2vec_tf.files.sealed_json import sealed_text
from object2vec_tf.hyperparameters import FORMER_VALUES, Hyperparameters
from object2vec_tf.layers.outside_tables import MappedTables
from object2vec_tf.layers.table_placement import TablePlacement, placement_of_loaded
from object2vec_tf.model.freezing import set_trainable_flags, trainable_flags
from object2vec_tf.tables.outside_tables import digests_of_tables
from object2vec_tf.text.text_assets import IdWords
from object2vec_tf.text.tokenizer import Tokenizer
from object2vec_tf.text.tokenizer_loading import (
    Tokenizers,
    make_tokenizer,
    shared_tokenizers,
)

# File of a saved model that holds the vocabulary of in0, and of in1.
_VOCABULARY = "vocabulary{}"
# File of a saved model that holds the words of the ids of in0, and of in1.
_ID_WORDS = "id_words{}"
# File of a saved model whose tables are outside: the digests of their descriptions.
OUTSIDE = "outside_tables"
# Entry of a file of weights: the states of the generators of random numbers.
_RANDOM_STATES = "random_states"
# Key of `get_config`: layers that the user froze or unfroze.
TRAINABLE = "trainable_layers"


class KerasState(keras.Model):
    """Saves random states and frozen layers, and rejects what has no effect.

    Keras 3.15 does not save the states of dropout, so training would not continue after
    loading as without an interruption. It saves ``trainable`` of functional models
    only.

    Attributes:
        hyperparameters: The model's hyperparameters.
        tokenizers: The model's tokenizers.
        id_words: Contents of the vocabulary files of sides of token ids.
        constructed_flags: What `trainable_flags` was after construction.
        placement: Where the rows of token tables are kept.
    """

    hyperparameters: Hyperparameters
    tokenizers: Tokenizers
    id_words: IdWords
    constructed_flags: Mapping[str, bool]
    placement: TablePlacement

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves the model; see ``keras.Model.save``.

        Args:
            filepath: A path that ends with ``.keras``.
            *args: As for ``keras.Model.save``.
            **kwargs: As for ``keras.Model.save``.

        Raises:
            ValueError: The path ends with ``.h5``.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                f"filepath: expected a path that ends with .keras, got {filepath}. The "
                "legacy format HDF5 would lack the vocabularies; save_weights writes "
                "weights to .weights.h5."
            )
        super().save(filepath, *args, **kwargs)

    def save_own_variables(self, store: Any) -> None:
        """Writes the random states; Keras calls this when it saves the model."""
        self._build_optimizer()
        super().save_own_variables(store)
        store[_RANDOM_STATES] = np.stack([v.numpy() for v in self._random_states()])

    def load_own_variables(self, store: Any) -> None:
        """Reads the random states, if the file has those of such a model."""
        self._build_optimizer()
        variables = {key: store[key] for key in store.keys()}  # noqa: SIM118 (no dict)
        states = variables.pop(_RANDOM_STATES, ())
        super().load_own_variables(variables)
        generators = self._random_states()
        if len(states) == len(generators):
            for variable, state in zip(generators, states, strict=True):
                variable.assign(state)

    def save_assets(self, path: str) -> None:
        """Writes the vocabularies; Keras calls this when it saves the model.

        The archive of a model whose tables are outside identifies their files, so that
        those of another model are not taken for them. `object2vec_tf.model.loading`
        reads it.
        """
        if isinstance(self.placement, MappedTables):
            record = {FILES: digests_of_tables(self.placement.tables)}
            (Path(path) / OUTSIDE).write_text(sealed_text(record), encoding="utf-8")
        for i, tokenizer in enumerate(self.tokenizers):
            if tokenizer is not None:
                (Path(path) / _VOCABULARY.format(i)).write_bytes(tokenizer.data)
        for i, words in enumerate(self.id_words):
            if words is not None:
                (Path(path) / _ID_WORDS.format(i)).write_bytes(words)

    def load_assets(self, path: str) -> None:
        """Reads the vocabularies; Keras calls this when it loads the model."""
        tokenizers: list[Tokenizer | None] = [None, None]
        for i in (0, 1) if path else ():
            file = Path(path) / _VOCABULARY.format(i)
            if file.exists():
                tokenizers[i] = make_tokenizer(
                    self.hyperparameters, i, file.read_bytes(), file.name
                )
        self.tokenizers = shared_tokenizers(tokenizers[0], tokenizers[1])
        files = [Path(path) / _ID_WORDS.format(i) for i in (0, 1)] if path else []
        words = [file.read_bytes() if file.exists() else None for file in files]
        self.id_words = (words[0], words[1]) if words else (None, None)

    def _build_optimizer(self) -> None:
        """Creates the optimizer's variables, which Keras saves and loads next.

        Keras 3.15 skips the state in a file if the optimizer has no variables yet.
        """
        if self.compiled and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)

    def _random_states(self) -> Sequence[keras.Variable]:
        """Returns the states of the generators of dropout and of negatives."""
        return [v for v in self.variables if v.path.endswith("seed_generator_state")]

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of a Keras layer, and which layers are trained."""
        flags, config = trainable_flags(self), super().get_config()
        return (
            config if flags == self.constructed_flags else {**config, TRAINABLE: flags}
        )

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Returns a model of a saved configuration, which may be of an older version.

        Args:
            config: What `get_config` returned.
            custom_objects: As for ``keras.Model.from_config``.
        """
        values = {**FORMER_VALUES, **config["hyperparameters"]}
        config = {
            **config,
            "hyperparameters": Hyperparameters.from_saved(values),
            "placement": placement_of_loaded(),
        }
        flags = config.pop(TRAINABLE, {})
        model = super().from_config(config, custom_objects)
        set_trainable_flags(model, flags)
        return model

    def compute_output_shape(self, *args: Any, **kwargs: Any) -> tuple[None, int]:
        """Returns the shape of scores for any inputs, ``(None, outputs)``."""
        return None, self.hyperparameters.output_dim

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        """Raises an error, since only the MLP has layers that Keras can quantize."""
        raise ValueError(
            "quantize: expected a model of Keras's own layers, got Object2Vec, whose "
            "token vectors have no quantized form. export_saved_model(precision="
            '"bfloat16") exports a model that computes in 16 bits.'
        )

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Configures training; see ``keras.Model.compile``.

        Raises:
            ValueError: There is a distribution strategy with several replicas.
        """
        check_strategy(tf.distribute.get_strategy())
        super().compile(*args, **kwargs)


def check_strategy(strategy: Any) -> None:
    """Checks that a strategy of TensorFlow trains one copy of a model.

    Raises:
        ValueError: It trains several.
    """
    copies = strategy.num_replicas_in_sync
    if copies > 1 or isinstance(strategy, tf.distribute.ParameterServerStrategy):
        raise ValueError(
            "compile: expected a tf.distribute strategy with one replica, got "
            f"{type(strategy).__name__} with {copies}, which cannot apply gradients of "
            "token vectors. For several devices or workers, use object2vec_tf.fit("
            'strategy="mirrored") or strategy="multi_worker", without a scope.'
        )
