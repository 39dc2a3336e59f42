"""The explorer's side in Python: from bytes to what the page shows and what leaves it."""

import io
import json

import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.labs.explorer.page import Page, options
from tests.labs.explorer.tables import BAD_FILES, MESSY, sleepstudy

RUN_ON = "print(fit.summary())"


@pytest.fixture
def page():
    return Page()


def opened(page, raw, name="a.csv"):
    return json.loads(page.open(raw, name))


@pytest.mark.parametrize("name", MESSY)
def test_from_bytes_to_report(page, name):
    make, wells, settings, formula = MESSY[name]
    raw = make().to_csv(index=False).encode()
    told = opened(page, raw)
    state = told["lab"]["state"] | wells | settings
    answer = json.loads(page.answer(json.dumps({"id": 1, "kind": "scene", "state": state})))
    assert answer["kind"] == "scene"
    assert answer["state"] == state
    said = json.loads(page.leave(json.dumps(state)))
    assert formula in said["code"]
    assert f"with the formula {formula}" in said["report"]


@pytest.mark.parametrize("name", BAD_FILES)
def test_what_is_no_table_is_said_in_words(page, name):
    raw, words = BAD_FILES[name]
    told = opened(page, raw)
    assert "lab" not in told
    assert words in told["refused"]


def test_of_500_columns_those_named_are_kept(page):
    told = opened(page, BAD_FILES["500 columns"][0])
    assert len(told["choose"]) == 500
    told = json.loads(page.keep(json.dumps(["c1", "c2", "c9"])))
    assert [c["name"] for c in told["columns"]] == ["c1", "c2", "c9"]


def test_mends_add_up_and_are_taken_back(page):
    df = sleepstudy().astype({"Reaction": object, "Subject": str})
    df.loc[3, "Reaction"] = "lost"
    df["Subject"] = "S" + df["Subject"]
    df.loc[5, "Subject"] = "s308"
    told = opened(page, df.to_csv(index=False), "it's.csv")
    assert [mend["column"] for mend in told["mends"]] == ["Reaction", "Subject"]
    page.mend(0)
    told = json.loads(page.mend(0))
    assert told["mends"] == []
    assert len(told["mended"]) == 2
    code = json.loads(page.leave("{}"))["code"]
    names = {}
    exec(code.replace('"it\'s.csv"', "__file").replace(RUN_ON, ""), names | {
        "__file": io.StringIO(df.to_csv(index=False))}, names)  # fmt: skip
    assert names["fit"].n_groups == {"Subject": 18}
    assert len(json.loads(page.unmend())["mended"]) == 1


@pytest.mark.parametrize("with_data", [False, True])
def test_the_notebook_runs_and_holds_the_table_only_where_asked(page, with_data):
    import nbformat

    df = sleepstudy().astype({"Subject": str})
    df["Subject"] = '=cmd|"""\\' + df["Subject"]
    opened(page, df.to_csv(index=False), "<b>.csv")
    text = page.notebook("{}", with_data)
    nbformat.validate(nbformat.reads(text, as_version=4))
    assert ("=cmd" in text) == with_data
    cells = [c["source"] for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
    assert "<b>" not in json.loads(text)["cells"][0]["source"].replace("\\<b\\>", "")
    names = {"pd": pd, "ml": ml}
    if with_data:
        exec(cells[0].replace(RUN_ON, ""), names)
        assert names["fit"].fixef["(Intercept)"] == pytest.approx(251.405, abs=1e-3)
        assert set(names["df"]["Subject"]) == set(df["Subject"])


def test_the_picture_stands_alone(page):
    page.shipped("sleepstudy")
    svg = page.picture("{}", "estimate")
    assert svg.startswith("<svg")
    assert svg.count("<path") > 18


def test_the_page_offers_every_shipped_table():
    assert set(options()["shipped"]) == set(ml.datasets().index)
