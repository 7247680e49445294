"""What answers contain besides predictions, and what happens to invalid rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from object2vec_tf.errors import UserError

# The fields of answers, which no kept field may have the name of.
ANSWER_FIELDS: Final = ("embeddings", "scores", "error")
FAIL: Final = "fail"
SKIP: Final = "skip"
MARK: Final = "mark"
ON_ERROR: Final = (FAIL, SKIP, MARK)


@dataclasses.dataclass(frozen=True)
class AnswerOptions:
    """What answers contain besides predictions, and what happens to invalid rows.

    Attributes:
        keep: The fields or columns of each row that are copied to its answer.
        on_error: fail: an invalid row is an error. skip: it has no answer. mark: its
            answer is the message of the error.

    Raises:
        UserError: A name in ``keep`` is empty, that of a field of answers, or there
            twice; or ``on_error`` is none of the three.

    Example:
        >>> from object2vec_tf.bulk.answer_options import AnswerOptions
        >>> AnswerOptions(keep=("id", "scores"))
        Traceback (most recent call last):
            ...
        object2vec_tf.errors.UserError: keep: expected fields other than embeddings, ...
    """

    keep: tuple[str, ...] = ()
    on_error: str = FAIL

    def __post_init__(self) -> None:
        """Checks the values."""
        for name in self.keep:
            if name in ANSWER_FIELDS or not name:
                raise UserError(
                    f"keep: expected fields other than {', '.join(ANSWER_FIELDS)}, "
                    f"which answers have themselves, got {name!r}. Rename or remove it."
                )
        if len(set(self.keep)) < len(self.keep):
            raise UserError(
                f"keep: expected every field once, got {','.join(self.keep)}. Remove "
                "the second one."
            )
        if self.on_error not in ON_ERROR:
            raise UserError(
                f"on_error: expected one of {', '.join(ON_ERROR)}, got "
                f"{self.on_error!r}."
            )

    @property
    def is_default(self) -> bool:
        """Whether answers contain only predictions, and invalid rows are errors."""
        return self == PLAIN

    @property
    def flags(self) -> str:
        """The flags of the options, for messages."""
        return f"--keep={','.join(self.keep)} --on_error={self.on_error}"

    def to_dict(self) -> dict[str, Any]:
        """Returns the options as a JSON object, which is empty for the defaults."""
        if self.is_default:
            return {}
        return {"keep": list(self.keep), "on_error": self.on_error}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> AnswerOptions:
        """Returns the options of a JSON object that `to_dict` returned."""
        return AnswerOptions(
            tuple(values.get("keep", ())), str(values.get("on_error", FAIL))
        )


# Answers contain only predictions, and an invalid row is an error.
PLAIN: Final = AnswerOptions()
