"""A made-up table of which little is to be said."""

from __future__ import annotations

from curate.advice.evidence import Evidence
from curate.advice.held_out import HeldOut

PLAIN = Evidence(
    dataset="toy",
    run_id="score-toy-1",
    modalities=("audio", "visual"),
    classes=10,
    samples=1000,
    size=0.35,
    imbalanced=0.2,
    accuracy={"audio": 0.8, "visual": 0.5, "fused": 0.9},
    outcomes=("ok",),
    ahead={"audio": 0.7, "visual": 0.3},
    carried={"audio": 0.18, "visual": 0.02},
    held_out=HeldOut("val", 200, {"audio": 0.75, "visual": 0.45, "fused": 0.85}),
    verdicts={"audio": "no broken group found", "visual": "no broken group found"},
    posterior="a scale of |gap|",
)
