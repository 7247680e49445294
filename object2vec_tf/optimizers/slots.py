"""The slots of a variable: what an optimizer keeps for each of its values or rows."""

from __future__ import annotations

import keras


def slots_of(
    optimizer: keras.optimizers.Optimizer, variable: keras.Variable
) -> list[keras.Variable]:
    """Returns the slots of a variable, in the order in which they were created.

    Args:
        optimizer: The optimizer, which is built.
        variable: A variable that it updates.

    Example:
        >>> import keras
        >>> table = keras.Variable([[1.0]], name="table")
        >>> adam = keras.optimizers.Adam()
        >>> adam.build([table])
        >>> [slot.name for slot in slots_of(adam, table)]
        ['table_momentum', 'table_velocity']
    """
    # The name that `Optimizer.add_variable_from_reference` of Keras 3.15 gives.
    prefix = f"{variable.path.replace('/', '_')}_"
    return [slot for slot in optimizer.variables if slot.name.startswith(prefix)]
