from tools.benchmarks import hlo_counts

# A loop over three steps. Each has two fusions, a product, and a loop without a known
# number of turns, whose body has a fusion and a copy.
HLO = """HloModule step, entry_computation_layout={(f32[4]{0})->f32[4]{0}}

%fused (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  %one = f32[] constant(1)
  %ones = f32[4]{0} broadcast(%one), dimensions={}
  ROOT %add.1 = f32[4]{0} add(%p, %ones)
}

%inner (q: (s32[], f32[4])) -> (s32[], f32[4]) {
  %q = (s32[], f32[4]{0}) parameter(0)
  %x = f32[4]{0} get-tuple-element(%q), index=1
  %f = f32[4]{0} fusion(%x), kind=kLoop, calls=%fused
  %c = f32[4]{0} copy(%f)
  ROOT %t = (s32[], f32[4]{0}) tuple(%i, %c)
}

%step.body (s: (s32[], f32[4])) -> (s32[], f32[4]) {
  %s = (s32[], f32[4]{0}) parameter(0)
  %fusion.1 = f32[4]{0} fusion(%s), kind=kLoop, calls=%fused
  %dot.1 = f32[4]{0} dot(%fusion.1, %fusion.1), lhs_contracting_dims={0}
  %fusion.2 = f32[4]{0} fusion(%dot.1), kind=kLoop, calls=%fused
  %while.1 = (s32[], f32[4]{0}) while(%s), condition=%cond, body=%inner
  ROOT %t2 = (s32[], f32[4]{0}) tuple(%i, %fusion.2)
}

ENTRY %main (a: f32[4]) -> f32[4] {
  %a = f32[4]{0} parameter(0)
  %copy.9 = f32[4]{0} copy(%a)
  %while.2 = (s32[], f32[4]{0}) while(%t3), condition=%cond, body=%step.body, \
backend_config={"known_trip_count":{"n":"3"}}
  ROOT %r = f32[4]{0} get-tuple-element(%while.2), index=1
}
"""


def test_the_body_of_the_only_loop_of_the_entry_is_the_step():
    assert hlo_counts.count(HLO) == hlo_counts.HloCounts(
        fusions=3, library_calls=1, loops=1, unknown_loops=1, instructions=5
    )


def test_a_loop_over_steps_without_a_known_count_is_reported():
    known = ', backend_config={"known_trip_count":{"n":"3"}}'
    assert hlo_counts.count(HLO.replace(known, "")).unknown_loops == 2


def test_without_a_loop_over_steps_the_entry_is_the_step():
    entry = HLO.index("  %while.2")
    text = HLO[:entry] + "  %f.3 = f32[4]{0} fusion(%a), calls=%fused\n}\n"
    assert hlo_counts.count(text) == hlo_counts.HloCounts(1, 0, 0, 0, instructions=2)
