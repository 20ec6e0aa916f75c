"""What a point of the scatter says is told apart by everybody, by light and by dark: by its colour or its shape."""

from __future__ import annotations

import re
from importlib import resources
from itertools import combinations

import numpy as np
import pytest

SIGHT = {
    "usual": np.eye(3),
    "no red": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "no green": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "no blue": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}
"""{kind of sight: what it makes of linear red, green and blue}, of Machado, Oliveira and Fernandes 2009."""
APART = 18.0
"""Least distance of two colours in CIELAB; one of 2 is just seen of large areas side by side."""
PAGE = resources.files("curate.view").joinpath("page")


def schemes() -> dict[str, dict[str, str]]:
    """{scheme: {name of a colour: #rrggbb}}, light first."""
    roots = re.findall(r":root \{(.*?)\}", PAGE.joinpath("style.css").read_text(), re.DOTALL)
    found = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", text)) for text in roots]
    return dict(zip(("light", "dark"), found, strict=True))


def kinds() -> dict[str, tuple[str, str]]:
    """{what a point says: (name of its colour, its shape)}."""
    return {
        kind: (colour, shape)
        for kind, colour, shape in re.findall(
            r'^  (\w+): \["(\w+)", "([a-z-]+)", ', PAGE.joinpath("charts.js").read_text(), re.MULTILINE
        )
    }


def lab(colour: str, sight: str) -> np.ndarray:
    """A colour as somebody sees it, in CIELAB."""
    shares = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(SIGHT[sight] @ linear, 0, 1) / to_xyz.sum(axis=1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_claim_is_far_from_what_is_claimed_or_decided(scheme, sight):
    colours, said = schemes()[scheme], kinds()
    assert set(said) == {"marked", "broken", "swapped", "wrong", "none"}
    for one, other in combinations(said, 2):
        (first, shape), (second, its_shape) = said[one], said[other]
        apart = np.linalg.norm(lab(colours[first], sight) - lab(colours[second], sight))
        assert apart >= APART or shape != its_shape, (one, other, apart)
        assert apart >= APART or "none" not in (one, other) or {one, other} & {"swapped", "wrong"}, (one, other, apart)


def test_marked_has_a_shape_of_its_own():
    shapes = [shape for _, shape in kinds().values()]
    assert shapes.count(kinds()["marked"][1]) == 1
