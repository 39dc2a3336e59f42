import contextlib
import io
import re
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def test_the_example_prints_what_the_readme_says():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    said = README.split(code)[1].split("```text\n")[1].split("```")[0]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    assert _lines(printed.getvalue()) == _lines(said)


def test_every_path_the_readme_links_to_is_there():
    top = Path(__file__).parent.parent
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (top / link).exists()] == []


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]
