"""The directive that puts the explorer into a page of the book.

.. code-block:: markdown

   ```{explorer}
   ```

The HTML is the frame only: the lab itself is made in the reader's browser, of her own table.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

READING = (("separator", "Separator"), ("decimal", "Decimal sign"), ("encoding", "Encoding"))


def explorer_html() -> str:
    """Return the frame: where a table comes in, what stands in it, the lab, what leaves."""
    from mixedlab.labs.explorer.page import options

    offered = options()
    shipped = _options({"": "Take a table of the book ...", **offered["shipped"]}, names=True)
    reading = "".join(
        f'<label>{label} <select data-ml="reading" data-setting="{key}">'
        f"{_options(offered[key])}</select></label>"
        for key, label in READING
    )
    return f"""
<div class="mx-explore ml-host" data-ml="explore" data-phase="wait" data-table="none">
<section class="mx-in" data-ml="intake" aria-label="Your table">
<label class="mx-drop" data-ml="drop"><strong>Drop a table here, or pick a file</strong>
<span>CSV or text; it stays on this machine.</span>
<input type="file" data-ml="file" accept=".csv,.tsv,.txt,.dat,text/*"></label>
<div class="mx-ways"><select data-ml="shipped" aria-label="Tables of the book">{shipped}</select>
<details class="mx-paste" data-ml="paste-box"><summary>Paste a table</summary>
<textarea data-ml="paste" rows="6" spellcheck="false" aria-label="The table as text"
placeholder="copied from a spreadsheet, or CSV"></textarea>
<button type="button" class="mx-button" data-ml="paste-done">Explore it</button></details></div>
<p class="mx-status" role="status"><span data-ml="status-text"></span>
<button type="button" class="mx-button" data-ml="retry" hidden>Try again</button></p>
</section>
<div class="mx-refused" data-ml="refused" role="alert" hidden><p data-ml="refused-text"></p>
<button type="button" class="mx-button" data-ml="rename" hidden>Number the later ones</button></div>
<section class="mx-check" data-ml="check" aria-label="What stands in the table" hidden>
<div class="mx-line"><p data-ml="table-line"></p>
<button type="button" class="mx-button" data-ml="unmend" hidden>Take the last mend back</button>
<button type="button" class="mx-button" data-ml="other">Another table</button></div>
<details data-ml="check-box">
<summary>What stands in it: <span data-ml="check-line"></span></summary>
<div class="mx-reading" data-ml="reading-row">{reading}</div>
<div class="mx-scroll" tabindex="0" role="region" aria-label="Columns"><table>
<thead><tr><th>Column</th><th>Holds</th><th>Different</th><th>Rows lost by choosing it</th>
<th>To mend</th></tr></thead><tbody data-ml="columns"></tbody></table></div>
<ul data-ml="pairs" aria-label="How columns stand to each other"></ul></details></section>
<form class="mx-choose" data-ml="choose" hidden><div data-ml="choose-wells"></div>
<button class="mx-button" data-ml="choose-done">Explore these</button></form>
<div data-ml="lab-host"></div>
<section class="mx-out" data-ml="leave" aria-label="Take it with you" hidden>
<h2>Take it with you</h2>
<div class="mx-buttons"><button type="button" class="mx-button" data-ml="save-notebook">Notebook
</button><label><input type="checkbox" data-ml="with-data"> with the table in it</label>
<button type="button" class="mx-button" data-ml="save-svg">Picture, SVG</button>
<button type="button" class="mx-button" data-ml="save-png">Picture, PNG</button>
<button type="button" class="mx-button" data-ml="copy-link">Copy link</button>
<span class="mx-status" data-ml="left" role="status"></span></div>
<p class="mx-small">The link holds columns' names and settings, never the table.</p>
<div class="mx-columns"><div><h3>mixedlab</h3><pre data-ml="code-out" tabindex="0"></pre>
<h3>lme4, in R</h3><pre data-ml="lme4-out" tabindex="0"></pre></div>
<details data-ml="report-box"><summary>The paragraph for a paper</summary>
<p data-ml="report"></p></details></div></section>
<noscript><p>The explorer needs JavaScript: Python runs in this page.</p></noscript></div>
"""


def _options(options: Mapping[str, str], names: bool = False) -> str:
    """Options of a menu; with ``names``, each value stands before its label."""
    return "".join(
        f'<option value="{escape(value, quote=True)}">'
        f"{escape(f'{value}: {label}' if names and value else label)}</option>"
        for value, label in options.items()
    )


class ExplorerDirective(SphinxDirective):
    """Put the explorer here."""

    def run(self) -> list[nodes.Node]:
        """Return its frame as HTML."""
        return [nodes.raw("", explorer_html(), format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("explorer", ExplorerDirective)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
