"""Ranges of a method's knobs, checked when its `Config` is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from curate.errors import CurateError


def check_ranges(config: Any, rules: Mapping[str, bool]) -> None:
    """Refuse a configuration that breaks a rule.

    Args:
        config: a dataclass.
        rules: {what must hold, in terms of the knobs' names, such as `alpha >= 0`: whether it does}.

    Raises:
        CurateError: a rule is broken; the message has the rule and the values of its knobs.
    """
    if broken := [rule for rule, holds in rules.items() if not holds]:
        named = set(re.findall(r"\w+", " ".join(broken)))
        got = ", ".join(f"method.{k}={v}" for k, v in asdict(config).items() if k in named)
        raise CurateError(f"out of range: {got}", f"expected {', '.join(broken)}")
