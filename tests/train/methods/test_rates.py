"""Methods that set learning rates of their own beside those that a user set."""

from __future__ import annotations

import pytest

from curate.errors import CurateError
from curate.train.methods import catalog


@pytest.mark.parametrize("name", ["mslr", "pdmp"])
def test_rates_of_the_user_and_of_the_method_do_not_mix(name, make_model) -> None:
    model = make_model(fusion=catalog.find(name).fusion or "concat")
    model.factors = {"audio": 0.1}
    with pytest.raises(CurateError, match=f"{name} sets the learning rates of encoders itself"):
        catalog.find(name)().attach(model, False)
