"""Execution of steps as programs of XLA, on batches in the static layout."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from object2vec_tf.data.layout_choice import layout_of
from object2vec_tf.data.pairs import Pairs
from object2vec_tf.data.static_batches import StaticBatches, processors
from object2vec_tf.data.static_groups import StaticGroup
from object2vec_tf.devices import apply_tf32_override, prefer_library_products
from object2vec_tf.distributed.padded_batch import padded_data
from object2vec_tf.distributed.replicas import Replicas, build_metrics
from object2vec_tf.ragged.static_layout import BatchShape
from object2vec_tf.training.execution import Execution, RunSteps
from object2vec_tf.training.prefetch import Prefetched
from object2vec_tf.training.step_work import mean_lengths, step_work

# A group of batches is at most this number of batches, and this number of bytes.
_MAX_GROUP = 32
_MAX_GROUP_BYTES = 1 << 23
# Batches of steps that take longer than this on a GPU are not worth grouping: a group
# has a single shape, which is the largest that one of its batches needs.
_GROUPED_SECONDS = 4e-3
# Groups that are on the device before they are needed.
_GROUPS_AHEAD = 2
# For how long a GPU waits for the host before each step of a loop whose length is not
# known to the compiler; an estimate.
_HOST_WAIT_SECONDS = 2e-5
# Programs that are compiled at the same time may each copy the weights, up to this
# number of bytes in total.
_MAX_COPIED_BYTES = 1 << 32
# Compilations that take longer than this are reported, in seconds.
_REPORTED_SECONDS = 5.0


class Group(NamedTuple):
    """Some consecutive batches, on the device.

    Attributes:
        shape: The shape of the batches.
        vectors: uint32 ``[group, shape.size]``; several replicas have a list of them.
        start: The position of the first batch among the vectors.
        stop: The position after the last batch.
    """

    shape: BatchShape
    vectors: Any
    start: int
    stop: int

    def split(self, count: int) -> tuple[Group, Group]:
        """Returns the first batches, and the others."""
        middle = self.start + count
        return self._replace(stop=middle), self._replace(start=middle)


class ProgramKey(NamedTuple):
    """What a program is compiled for.

    Attributes:
        shape: The shape of the batches.
        training: Whether it trains, rather than evaluates.
        steps: The number of steps, if it always makes the same.
    """

    shape: BatchShape
    training: bool
    steps: int | None = None


class StaticExecution(Execution):
    """Runs several steps per call of a program that XLA compiled, on a single device.

    There is a program for each shape of batches. Nothing is read back within a call.

    Args:
        replicas: The model, as a single copy.
        report: Shows a line about a compilation that takes long.
    """

    max_steps = 1 << 14

    def __init__(
        self, replicas: Replicas, report: Callable[[str], None] = lambda line: None
    ) -> None:
        self.replicas = replicas
        self._report = report
        # Variables cannot be created within a program.
        build_metrics(replicas.model)
        self._device = _device_of(replicas.model)
        self._compiles_ahead = "GPU" in self._device
        apply_tf32_override()
        if "GPU" in self._device and _has_large_products(replicas.model):
            prefer_library_products()
        self._programs: dict[ProgramKey, Callable[..., None]] = {}
        self._compile_seconds: dict[ProgramKey, float] = {}
        self._waits: dict[ProgramKey, float] = {}

    def batches(self, pairs: Pairs, *args: Any, **kwargs: Any) -> _Epoch:
        """See `Execution`."""
        batch_size, shuffle = (*args, None)[0], bool(kwargs.get("shuffle"))
        layout = dataclasses.replace(
            layout_of(self.replicas.model.hyperparameters, shuffle=shuffle),
            replicas=self.replicas.strategy.replicas,
        )
        size = kwargs.pop("batch_size", batch_size)
        steps = group_size(pairs, size)
        return _Epoch(
            pairs.static_groups(
                layout, steps=steps, batch_size=size, prepare_next=shuffle, **kwargs
            )
        )

    @contextmanager
    def training_steps(self, batches: _Epoch) -> Iterator[RunSteps]:
        """See `Execution`."""
        self._compile_ahead(batches.groups, training=True)
        with closing(self._prefetched(batches)) as groups:
            current: list[Group] = []

            def run(steps: int) -> int:
                done = 0
                while done < steps:
                    group = current.pop() if current else next(groups)
                    left = group.stop - group.start
                    # A group is split if fewer steps are asked for than it has.
                    count = left if steps >= left else min(left, steps - done)
                    now, later = group.split(count)
                    self._run(ProgramKey(group.shape, True), now)
                    if count < left:
                        current.append(later)
                    done += count
                return done

            yield run

    def evaluate(
        self, batches: _Epoch, between_calls: Callable[[], None] = lambda: None
    ) -> None:
        """See `Execution`."""
        self._compile_ahead(batches.groups, training=False)
        with closing(self._prefetched(batches)) as groups:
            for group in groups:
                between_calls()
                self._run(ProgramKey(group.shape, False), group)

    def _prefetched(self, batches: _Epoch) -> Prefetched[Group]:
        return Prefetched(self._on_device(batches.groups), _GROUPS_AHEAD)

    def _on_device(self, groups: StaticBatches) -> Iterator[Group]:
        """Yields groups whose vectors were copied to the device."""
        first = groups.pairs.first_batch
        for group in groups:
            start = max(first - group.first, 0)
            yield Group(group.shape, self._copied(group), start, group.count)

    def _copied(self, group: StaticGroup) -> Any:
        """Returns the vectors of a group on the device."""
        return on_device(group.vectors, self._device)

    def _run(self, key: ProgramKey, group: Group) -> None:
        """Runs the steps of a group."""
        size = group.vectors.shape[0]
        if size == 1 and key not in self._compile_seconds:
            self._run_single(key._replace(steps=1), group.vectors)
            return
        if group.stop - group.start == size and self._waits_for_long(key, size):
            self.program(key._replace(steps=size))(group.vectors)
            return
        program = self.program(key)
        if key not in self._compile_seconds:
            self._compile_seconds[key] = self._compile(key, group.vectors)
        program(group.vectors, tf.constant(group.start), tf.constant(group.stop))

    def _run_single(self, key: ProgramKey, vectors: tf.Tensor) -> None:
        """Runs a group of a single batch, for which there is no loop to wait for."""
        start = time.perf_counter()
        self.program(key)(vectors)
        if key not in self._compile_seconds:
            seconds = time.perf_counter() - start  # with one step
            self._compile_seconds[key] = self._report_compilation(key, seconds)

    def _waits_for_long(self, key: ProgramKey, steps: int) -> bool:
        """Returns whether a program with a constant number of steps pays off.

        It is compiled when a GPU has waited for the host as long as that takes.
        """
        if "GPU" not in self._device or key not in self._compile_seconds:
            return False
        self._waits[key] = self._waits.get(key, 0.0) + steps * _HOST_WAIT_SECONDS
        return self._waits[key] > self._compile_seconds[key]

    def program(self, key: ProgramKey) -> Callable[..., None]:
        """Returns the function for a shape of batches, which its first call compiles.

        Args:
            key: What it is compiled for.

        Returns:
            A tf.function of vectors, uint32 ``[group, shape.size]``, and unless
            ``steps`` is given of the first batch and of the batch after the last one,
            int32 scalars.
        """
        if key not in self._programs:
            self._programs[key] = self._new_program(key)
        return self._programs[key]

    def _new_program(self, key: ProgramKey) -> Callable[..., None]:
        model = self.replicas.model
        step = model.train_batch if key.training else model.test_batch

        def repeat(vectors: tf.Tensor, start: tf.Tensor, stop: tf.Tensor | int) -> None:
            def once(done: tf.Tensor) -> list[tf.Tensor]:
                vector = tf.bitcast(vectors[done], tf.int32)
                step(padded_data(vector, key.shape))
                return [done + 1]

            tf.while_loop(lambda done: done < stop, once, [start])

        def repeat_all(vectors: tf.Tensor) -> None:
            repeat(vectors, tf.constant(0), vectors.shape[0])

        function: Callable[..., None] = tf.function(
            repeat_all if key.steps else repeat, jit_compile=True, autograph=False
        )
        return function

    def _compile_ahead(self, groups: StaticBatches, *, training: bool) -> None:
        """Compiles the programs for all shapes of batches at the same time.

        XLA compiles a program in one thread, mostly. With buckets there are up to a
        dozen, each of which takes a GPU's compiler several seconds.
        """
        if not self._compiles_ahead:
            return
        keys = [ProgramKey(shape, training) for shape in groups.menu.shapes]
        keys = [key for key in keys if key not in self._compile_seconds]
        if len(keys) < 2:
            return
        start = time.perf_counter()
        with ThreadPoolExecutor(min(len(keys), self._compilers())) as executor:
            compilations = []
            for key in keys:
                vectors = self._no_vectors(groups.steps, key.shape)
                arguments = vectors, tf.constant(0), tf.constant(0)  # make no step
                # Traced in this thread: Keras does not support several.
                function: Any = self.program(key)
                program = function.get_concrete_function(*arguments)
                compilations.append(executor.submit(program, *arguments))
            for compilation in compilations:
                compilation.result()
        seconds = time.perf_counter() - start
        self._compile_seconds.update(dict.fromkeys(keys, seconds / len(keys)))
        if seconds > _REPORTED_SECONDS:
            kind = "training" if training else "evaluation"
            self._report(f"{len(keys)} {kind} steps: compiled in {seconds:.0f} s")

    def _compilers(self) -> int:
        """Returns how many programs to compile at the same time."""
        model = self.replicas.model
        size = sum(
            math.prod(variable.shape) * tf.as_dtype(variable.dtype).size
            for variable in [*model.variables, *model.optimizer.variables]
        )
        return max(min(processors(), _MAX_COPIED_BYTES // max(size, 1)), 1)

    def _no_vectors(self, steps: int, shape: BatchShape) -> Any:
        """Returns vectors of zeros on the device, in the shape of a group's."""
        return on_device(np.zeros((steps, shape.size), np.int32), self._device)

    def _compile(self, key: ProgramKey, vectors: tf.Tensor) -> float:
        """Compiles a program; returns and perhaps reports how long it took."""
        start = time.perf_counter()
        self.program(key)(vectors, tf.constant(0), tf.constant(0))  # makes no step
        return self._report_compilation(key, time.perf_counter() - start)

    def _report_compilation(self, key: ProgramKey, seconds: float) -> float:
        """Reports a compilation if it took long; returns how long."""
        if seconds > _REPORTED_SECONDS:
            self._report(f"{_described(key)}: compiled in {seconds:.0f} s")
        return seconds


class _Epoch:
    """The batches of an epoch, in groups."""

    def __init__(self, groups: StaticBatches) -> None:
        self.groups = groups

    def __len__(self) -> int:
        """Returns the number of batches."""
        return self.groups.batches


def group_size(pairs: Pairs, batch_size: int | None) -> int:
    """Returns the number of batches that a program gets at once.

    Args:
        pairs: The pairs.
        batch_size: Pairs per batch; None for ``mini_batch_size``.
    """
    batch_size = batch_size or pairs.schema.batch_size
    lengths = mean_lengths(pairs)
    # A token has a cell and perhaps a unique id; a row has some further numbers.
    size = 4 * batch_size * (2 * sum(lengths) + 12)
    work = step_work(pairs.hyperparameters, lengths, batch_size)
    by_time = _GROUPED_SECONDS / work.gpu_seconds
    return int(min(max(min(_MAX_GROUP_BYTES / size, by_time), 1), _MAX_GROUP))


def _described(key: ProgramKey) -> str:
    shape = key.shape
    kind = "training" if key.training else "evaluation"
    tokens = " + ".join(f"{count:,}" for count in shape.unique)
    return f"{kind} step for {shape.rows:,} rows, {tokens} unique tokens"


def on_device(vectors: npt.NDArray[np.int32], device: str) -> tf.Tensor:
    """Copies vectors to a device.

    TensorFlow keeps int32 values of eager execution in host memory.

    Args:
        vectors: int32, of any shape.
        device: The name of the device.

    Returns:
        uint32, of the same shape.
    """
    with tf.device(device):
        return tf.constant(vectors.view(np.uint32))


def _has_large_products(model: Any) -> bool:
    """Returns whether an encoder computes products, which make compilation slow."""
    networks = {model.hyperparameters.network(encoder) for encoder in (0, 1)}
    return networks != {"pooled_embedding"}


def _device_of(model: keras.Model) -> str:
    """Returns the name of the device of a model's weights."""
    weights = [variable.value for variable in model.variables]
    return next(str(weight.device) for weight in weights if weight.dtype.is_floating)
