import pytest

from tools.benchmarks import step_graphs


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(step_graphs.configurations()))
def test_static_steps_have_loops_of_known_length_only(name):
    pairs = step_graphs.make_pairs(step_graphs.configurations()[name])
    static = step_graphs.static_counts(pairs)
    ragged = step_graphs.ragged_placement(pairs)
    assert static.unknown_loops == 0
    # bilstm: one loop over time in each direction of the pass, for each side.
    assert static.loops == (4 if "bilstm" in name else 0)
    assert ragged.without_kernel
    assert ragged.to_host > 0
    assert static.instructions < ragged.launches
