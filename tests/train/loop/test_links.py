"""What processes tell each other of an end. What they exchange is tested in test_processes.py."""

from __future__ import annotations

from pathlib import Path

from curate.train.loop.links import Links


def test_the_first_reason_of_a_failure_stays(tmp_path: Path) -> None:
    """A process that ends because another has ended does not hide why that did."""
    links = Links(0, 1, tmp_path)
    try:
        assert links.failure() == ""
        links.fail("out of memory")
        links.fail("connection closed")
        assert links.failure() == "process 0: out of memory"
    finally:
        links.close()
