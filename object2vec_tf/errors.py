"""What a user can mend, told apart from what is our fault."""


class UserError(ValueError):
    """Settings, data or files that the user can put right.

    The commands print its message, without a traceback, and exit with status 2.
    """


class HyperparameterError(UserError):
    """One or more hyperparameters break a rule; the message names them all."""


class DataError(UserError):
    """A channel cannot be read; the message names file, line and field."""


class DivergedError(UserError):
    """A loss is no finite number any more."""


class Interrupted(Exception):
    """A run was told to stop, has saved what it learnt, and can be gone on with."""


class RunDirectoryError(UserError):
    """The run directory holds something that this run must not overwrite."""


class WorkerLost(UserError):
    """A worker of several has ended, and the others end too; they can be gone on with.

    It is for the user to mend: the same command starts all of them again.
    """
