"""Counts in XLA's optimized program: fusions, library calls, loops and launches."""

from __future__ import annotations

import dataclasses
import re

# Instructions that only name a value.
_NO_WORK = frozenset(
    {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "iota"}
)
_LIBRARY_CALLS = frozenset({"dot", "convolution", "custom-call"})
_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = (.*)$")
_BODY = re.compile(r"body=%?([\w.\-]+)")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """An instruction of an HLO computation.

    Attributes:
        op: The opcode, such as "fusion".
        body: Name of the computation that a loop repeats; "" for other instructions.
        has_known_count: Whether XLA knows how often a loop runs. On a GPU, other loops
            copy their condition to the host in every turn.
    """

    op: str
    body: str = ""
    has_known_count: bool = False


@dataclasses.dataclass(frozen=True)
class HloCounts:
    """What one training step does, as instructions that are not inside a fusion.

    Attributes:
        fusions: Number of fusions.
        library_calls: Number of matrix products, convolutions and custom calls.
        loops: Number of loops within the step.
        unknown_loops: Number of loops, that over the steps included, whose number of
            turns XLA does not know.
        instructions: Number of all instructions, those of the bodies of the loops
            included once. On a GPU, an upper bound of the kernels that one pass through
            the step launches.
    """

    fusions: int
    library_calls: int
    loops: int
    unknown_loops: int
    instructions: int


def _opcode(text: str) -> str:
    """Returns the opcode of the right side of an instruction: type, then opcode."""
    if text.startswith("("):
        depth, end = 1, 1
        while depth:
            depth += (text[end] == "(") - (text[end] == ")")
            end += 1
    else:
        end = text.index(" ")
    return text[end:].lstrip().split("(", 1)[0]


def parse(hlo: str) -> tuple[dict[str, list[Instruction]], str]:
    """Returns the instructions of each computation, and the name of the entry."""
    computations: dict[str, list[Instruction]] = {}
    entry, current = "", None
    for line in hlo.splitlines():
        if header := _HEADER.match(line):
            current = computations.setdefault(header[2], [])
            entry = header[2] if header[1] else entry
        elif current is not None and (found := _INSTRUCTION.match(line)):
            op = _opcode(found[1])
            body = _BODY.search(line) if op == "while" else None
            current.append(
                Instruction(op, body[1] if body else "", "known_trip_count" in line)
            )
    return computations, entry


def count(hlo: str) -> HloCounts:
    """Counts the instructions of a training step.

    Args:
        hlo: The text of an optimized program. If its entry contains one loop only, that
            loop is over the steps, and its body is the step.
    """
    computations, entry = parse(hlo)
    loops = [i for i in computations[entry] if i.op == "while"]
    unknown = sum(not loop.has_known_count for loop in loops)
    step = loops[0].body if len(loops) == 1 else entry
    found = _with_bodies(computations, step)
    if step == entry:
        unknown = 0
    ops = [i.op for i in found]
    inner = [i for i in found if i.op == "while"]
    return HloCounts(
        fusions=ops.count("fusion"),
        library_calls=sum(op in _LIBRARY_CALLS for op in ops),
        loops=len(inner),
        unknown_loops=unknown + sum(not loop.has_known_count for loop in inner),
        instructions=sum(op not in _NO_WORK and op != "while" for op in ops),
    )


def _with_bodies(
    computations: dict[str, list[Instruction]], name: str
) -> list[Instruction]:
    found = []
    for instruction in computations[name]:
        found.append(instruction)
        if instruction.body:
            found += _with_bodies(computations, instruction.body)
    return found
