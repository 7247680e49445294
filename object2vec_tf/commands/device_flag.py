"""The flag --device, which several commands have."""

from __future__ import annotations

from absl import flags

from object2vec_tf.devices import DEVICES, select_device

DEVICE = flags.DEFINE_enum(
    "device",
    "auto",
    DEVICES,
    "device of the model; cpu: no GPU; gpu: a GPU, or an error if TensorFlow cannot "
    "use one; auto: a GPU if there is one, otherwise the CPU",
)


def select_device_of_flag() -> None:
    """Selects the device of the flag, before TensorFlow runs anything.

    Raises:
        UserError: The device cannot be used.
    """
    select_device(DEVICE.value)
