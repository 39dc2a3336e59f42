"""Bets as plain data for the front end."""

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from mixedlab.labs.kit.bet import Choice, Curve, Place, bet_to_dict

CURVE = Curve("How?", "hero", (1, 2), 0, 1, 0.1, [0.5, 0.5], "curve", 0.1)
PLACE = Place("Where?", "hero", "x", 0, 100, 1, 50, "alarms", 5, " %")


def test_a_choice_tells_what_and_why_apart():
    bet = Choice("Which?", (("more", "since it grows"), "less"))
    assert bet.labels == ["more", "less"]
    assert bet.reasons == ["since it grows", ""]
    assert bet_to_dict(bet) == {
        "kind": "choice",
        "ask": "Which?",
        "options": ["more", "less"],
        "reasons": ["since it grows", ""],
    }


@pytest.mark.parametrize(
    "bet",
    [
        PLACE,
        Curve("How?", "hero", (1, 2), 0, 1, 0.1, [0.5, 0.5], "curve", 0.1),
        Choice("?", ("a",)),
    ],
)
def test_every_bet_is_json_with_its_kind(bet):
    entry = json.loads(json.dumps(bet_to_dict(bet), allow_nan=False))
    assert entry["kind"] == type(bet).__name__.lower()
    assert entry["ask"] == bet.ask


def test_a_curve_has_a_start_for_each_place():
    entry = bet_to_dict(Curve("How?", "hero", (1, 2, 3), 0, 1, 0.1, (0, 0, 1), "curve", 0.1))
    assert np.shape(entry["at"]) == np.shape(entry["start"]) == (3,)


def test_a_bet_does_not_change():
    with pytest.raises(FrozenInstanceError):
        PLACE.start = 0
