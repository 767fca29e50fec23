"""Near pairs of prompts, written for this project, and how well likeness tells them apart.

`likeness_tuned.jsonl` is what the rules were made on. `likeness_seen.jsonl` was held out at first,
gave one false hit, and has been looked at since. `likeness_held_out.jsonl` was written after that
and is never looked at: a rule that is made because of one of its pairs makes it worthless, and then
a new one is to be written. Figures: `PYTHONPATH=src:tests python -m levers.near_pairs`.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from bursar.levers.likeness import judge
from bursar.levers.likeness_reading import sense_of
from bursar.levers.semantic import wilson

HERE = Path(__file__).parent
SETS = ("tuned", "seen", "held_out")


class Pair(NamedTuple):
    """Two prompts, whether one answer suits both, and what tells them apart."""

    a: str
    b: str
    same: bool
    why: str


class Score(NamedTuple):
    """What became of some pairs."""

    hits: int
    false_hits: int
    misses: int
    others: int

    @property
    def precision(self) -> float:
        return self.hits / (self.hits + self.false_hits)

    @property
    def recall(self) -> float:
        return self.hits / (self.hits + self.misses)

    def __str__(self) -> str:
        _, low, high = wilson(self.hits, self.hits + self.false_hits)
        return (
            f"precision {self.precision:.2%} (95 %: {low:.2%} to {high:.2%}),"
            f" recall {self.recall:.1%}, {self.false_hits} of"
            f" {self.false_hits + self.others} differing pairs hit"
        )


def path_of(name: str) -> Path:
    return HERE / f"likeness_{name}.jsonl"


def pairs(name: str) -> list[Pair]:
    lines = path_of(name).read_text(encoding="utf-8").splitlines()
    return [Pair(**json.loads(line)) for line in lines]


def is_hit(a: str, b: str) -> bool:
    return judge(sense_of(a), sense_of(b)).same


def score(some: list[Pair]) -> Score:
    found = Counter((is_hit(pair.a, pair.b), pair.same) for pair in some)
    return Score(found[True, True], found[True, False], found[False, True], found[False, False])


if __name__ == "__main__":
    for name in SETS:
        some = pairs(name)
        print(f"{name}: {len(some)} pairs, {sum(one.same for one in some)} the same: {score(some)}")
