"""The devices of this process: choosing, describing and placing ops on them."""

from object2vec_tf.devices.placement import (
    gpu_is_visible,
    in_full_precision,
    on_host,
)
from object2vec_tf.devices.selection import (
    DEVICES,
    apply_tf32_override,
    check_device,
    describe_devices,
    make_deterministic,
    prefer_library_products,
    select_device,
)

__all__ = [
    "DEVICES",
    "apply_tf32_override",
    "check_device",
    "describe_devices",
    "gpu_is_visible",
    "in_full_precision",
    "make_deterministic",
    "on_host",
    "prefer_library_products",
    "select_device",
]
