"""Exceptions that the package raises, above all those that a user can resolve."""


class UserError(ValueError):
    """Settings, data or files are invalid, and the user can correct them.

    The message says where the problem is, what was expected and how to fix it. The
    commands print it without a traceback and exit with status 2.

    Example:
        >>> import object2vec_tf as o2v
        >>> try:
        ...     o2v.Hyperparameters.from_json("missing.json")
        ... except o2v.UserError as error:
        ...     print(error)
        missing.json: cannot be read: No such file or directory. Check the path.
    """


class HyperparameterError(UserError):
    """One or more hyperparameters are invalid; the message names all of them.

    Example:
        >>> import object2vec_tf as o2v
        >>> o2v.Hyperparameters(enc0_max_seq_len=0, enc0_vocab_size=100, epoch=3)
        Traceback (most recent call last):
            ...
        object2vec_tf.errors.HyperparameterError: 2 invalid hyperparameters:
          epoch: unknown hyperparameter: did you mean epochs?
          enc0_max_seq_len: expected an integer in 1..5000, got 0
    """


class DataError(UserError):
    """A channel cannot be read; the message names file, line and field.

    Example:
        >>> import pathlib
        >>> import object2vec_tf as o2v
        >>> hyperparameters = o2v.Hyperparameters(
        ...     enc0_network="pooled_embedding", enc0_max_seq_len=5, enc0_vocab_size=10
        ... )
        >>> line = '{"in0": [1], "in1": [99], "label": 1}'
        >>> _ = pathlib.Path("train.jsonl").write_text(line)
        >>> try:
        ...     o2v.read_pairs("train.jsonl", hyperparameters)
        ... except o2v.DataError as error:
        ...     print(str(error).split(" ")[0])
        train.jsonl:1:
    """


class DivergedError(UserError):
    """A training loss is infinite or not a number."""


class Interrupted(Exception):
    """A run stopped on SIGTERM, after it saved a checkpoint from which it can resume.

    Calling `fit` again with the same arguments resumes the run.

    Example:
        >>> import object2vec_tf as o2v
        >>> def train(**arguments):
        ...     '''Returns the run, or None if the machine is about to be shut down.'''
        ...     try:
        ...         return o2v.fit(**arguments)
        ...     except o2v.Interrupted as interrupted:
        ...         print(interrupted)
        ...         return None
    """


class RunDirectoryError(UserError):
    """The run directory has files of another run, which this run must not overwrite.

    Example:
        >>> import pathlib
        >>> import object2vec_tf as o2v
        >>> run = pathlib.Path("run")
        >>> run.mkdir()
        >>> _ = (run / "model.keras").write_bytes(b"a trained model")
        >>> _ = pathlib.Path("pairs.jsonl").write_text(
        ...     '{"in0": [1], "in1": [2], "label": 1}'
        ... )
        >>> hyperparameters = o2v.Hyperparameters(
        ...     enc0_network="pooled_embedding", enc0_max_seq_len=5, enc0_vocab_size=10
        ... )
        >>> o2v.fit(
        ...     hyperparameters, train="pairs.jsonl", model_dir=run, verbose=False
        ... )  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        object2vec_tf.errors.RunDirectoryError: run: contains another run, ...
    """


class WorkerLost(UserError):
    """Another worker of a job ended, so that this one ends too.

    The same command, started on all workers, resumes the run.
    """
