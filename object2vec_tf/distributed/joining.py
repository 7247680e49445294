"""The membership of this process in a job of several workers, from start to end."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from object2vec_tf.distributed.cluster import TF_CONFIG, Cluster, read_cluster
from object2vec_tf.distributed.listener import is_loopback
from object2vec_tf.distributed.membership import Membership
from object2vec_tf.errors import Interrupted, UserError

# The strategies that use the workers of TF_CONFIG.
_STRATEGIES = ("auto", "multi_worker")

# The membership of the outermost context; kept after its end.
_current: Membership | None = None


@contextmanager
def joined_workers(strategy: str) -> Iterator[Membership | None]:
    """Joins the other workers of TF_CONFIG, and reports to them how this one ended.

    Args:
        strategy: The name of the execution strategy.

    Yields:
        The membership; None for a single worker.

    Raises:
        UserError: TF_CONFIG is invalid, or this worker's port cannot be used.
    """
    global _current
    cluster = _several_workers(strategy)
    if cluster is None or _joined():
        yield _joined() if cluster else None
        return
    members = _current = Membership(cluster)
    try:
        members.listen()
        _warn_of_loopback(cluster)
        yield members
    except Interrupted as error:
        members.leave(str(error), resumable=True)
        raise
    except BaseException as error:
        members.leave(_reason(error))
        raise
    members.leave()


@contextmanager
def failures_reported(strategy: Callable[[], str]) -> Iterator[None]:
    """Reports failures of a command before or after `joined_workers` to the others.

    Args:
        strategy: Returns the name of the execution strategy.
    """
    try:
        yield
    except BaseException as error:
        if _current is None and not (isinstance(error, SystemExit) and not error.code):
            _report_failure(strategy, error)
        raise


def current_members(cluster: Cluster) -> Membership:
    """Returns the membership of this process, and joins the workers if there is none.

    Args:
        cluster: The workers.
    """
    global _current
    if members := _joined():
        return members
    _current = Membership(cluster)
    _current.listen()
    return _current


def check_workers() -> None:
    """Raises an error if another worker of this process's job ended.

    Raises:
        WorkerLost: It failed.
        Interrupted: It was stopped.
    """
    if members := _joined():
        members.check()


def _joined() -> Membership | None:
    """Returns the membership of this process, None before it joins or after it left."""
    return None if _current is None or _current.has_left else _current


def _report_failure(strategy: Callable[[], str], error: BaseException) -> None:
    """Reports that this process fails before it joined the workers."""
    global _current
    try:
        cluster = _several_workers(strategy())
    except UserError:  # TF_CONFIG does not say who the others are
        return
    if cluster is not None:
        _current = Membership(cluster)
        try:
            _current.listen()
        finally:
            _current.leave(_reason(error))


def _several_workers(strategy: str) -> Cluster | None:
    """Returns the workers of TF_CONFIG if the strategy uses several."""
    cluster = read_cluster() if strategy in _STRATEGIES else None
    return cluster if cluster is not None and len(cluster.addresses) > 1 else None


def _reason(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"exit status {error.code}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'file system'}: {error.strerror}"
    return f"{error}" if isinstance(error, UserError) else f"{error!r}"


def _warn_of_loopback(cluster: Cluster) -> None:
    """Warns if addresses promise more than TensorFlow does."""
    own = cluster.addresses[cluster.worker]
    if is_loopback(own):
        warnings.warn(
            f"{TF_CONFIG}: {own}: TensorFlow listens on this port of all network "
            "interfaces, without authentication. Block the port from outside.",
            stacklevel=4,
        )
