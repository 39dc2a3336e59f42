from dataclasses import asdict, dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedlab.labs.kit.lab import MAX_SEED, Lab, replicate_seed, slider
from mixedlab.labs.regression_to_the_mean import LAB as SMALL
from tests.labs import every_mark
from tests.labs.fuzz import patient

LAB = every_mark.LAB
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
FIELDS = st.sampled_from([*asdict(LAB.state()), "__class__", "unknown"])


@patient
@given(st.dictionaries(FIELDS, JUNK))
def test_any_junk_gives_a_valid_state(raw):
    state = LAB.clean(raw)
    assert isinstance(state, every_mark.State)
    for name, control in LAB.controls.items():
        value = getattr(state, name)
        assert type(value) is type(getattr(every_mark.State(), name))
        if control.kind == "choice":
            assert value in dict(control.options)
        elif control.kind != "toggle":
            assert control.low <= value <= control.high
    assert 0 <= state.seed <= MAX_SEED


@patient
@given(st.dictionaries(FIELDS, JUNK))
def test_a_clean_state_stays_as_it_is(raw):
    state = LAB.clean(raw)
    assert LAB.clean(asdict(state)) == state
    assert LAB.clean({name: str(value) for name, value in asdict(state).items()}) == state


def test_values_are_clamped_and_put_on_their_steps():
    state = LAB.clean({"height": 0.549, "groups": 99, "px": -3, "many": "m9", "numbers": "false"})
    assert state == every_mark.State(height=0.5, groups=9, px=0.0, many="m1", numbers=False)


def test_replicates_are_the_same_each_time_and_however_they_are_cut():
    state = SMALL.state()
    whole = SMALL.replicate(state, 0, 6)
    first, rest = SMALL.replicate(state, 0, 2), SMALL.replicate(state, 2, 4)
    assert whole == {name: first[name] + rest[name] for name in whole}
    assert whole != SMALL.replicate(replace(state, seed=2), 0, 6)


def test_measure_many_stands_in_for_measure():
    many = replace(LAB, measure=None, measure_many=lambda state, seeds: {"mean": seeds})
    seeds = [replicate_seed(1, i) for i in range(3)]
    assert many.replicate(LAB.state(), 0, 3) == {"mean": [float(s) for s in seeds]}


def test_replicate_seeds_are_all_different():
    seeds = {replicate_seed(seed, i) for seed in range(20) for i in range(200)}
    assert len(seeds) == 4000


def test_a_lab_has_at_most_five_controls():
    @dataclass(frozen=True)
    class Six:
        a: float = slider(0, 0, 1, 0.1, "a")
        b: float = slider(0, 0, 1, 0.1, "b")
        c: float = slider(0, 0, 1, 0.1, "c")
        d: float = slider(0, 0, 1, 0.1, "d")
        e: float = slider(0, 0, 1, 0.1, "e")
        f: float = slider(0, 0, 1, 0.1, "f")
        seed: int = 1

    with pytest.raises(ValueError, match="6 controls"):
        replace(LAB, state=Six)


def test_a_state_needs_a_seed():
    @dataclass(frozen=True)
    class Seedless:
        a: float = slider(0, 0, 1, 0.1, "a")

    with pytest.raises(ValueError, match="seed"):
        replace(LAB, state=Seedless)


def test_labs_are_compared_by_identity_so_that_they_can_be_keys():
    assert isinstance(hash(LAB), int)
    assert replace(LAB) != LAB
    assert isinstance(LAB, Lab)
