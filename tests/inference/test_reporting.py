"""Summaries print, and have an HTML form."""

import pandas as pd

from mixedlab.inference.reporting import Report, Summary


class Found(Report):
    def summary(self):
        table = pd.DataFrame({"estimate": [1.234567, None]}, index=["a", "<b>"])
        return Summary("Title & more", ["One line."], {"Numbers": table})


def test_text_and_html_hold_the_same():
    found = Found()
    text = str(found)
    assert repr(found) == text
    for part in ("Title & more", "One line.", "Numbers", "1.2346", "<b>"):
        assert part in text
    html = found._repr_html_()
    for part in ("Title &amp; more", "One line.", "1.2346", "&lt;b&gt;", "<table"):
        assert part in html
    assert "None" not in text + html
    assert "NaN" not in text + html
