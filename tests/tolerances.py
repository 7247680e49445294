"""How far equal results may differ, by device.

Compare products and sums with expected values by these: ``assert_allclose(actual,
expected, **tolerances())``. tests/conftest.py turns TF32 off.
"""

from __future__ import annotations

from object2vec_tf.devices import gpu_is_visible


def tolerances(rtol: float = 1e-5, atol: float = 1e-6) -> dict[str, float]:
    """Returns tolerances for ``numpy.testing.assert_allclose``.

    Args:
        rtol: The relative tolerance on a CPU.
        atol: The absolute tolerance on a CPU.

    Returns:
        Ten times these where a GPU is visible: it adds numbers in another order in each
        call, and cuDNN and cuBLAS choose among kernels that round differently.
    """
    factor = 10 if gpu_is_visible() else 1
    return {"rtol": rtol * factor, "atol": atol * factor}
