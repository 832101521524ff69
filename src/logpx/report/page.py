"""The page around the sections (floor 8): skeleton, style, numbers and text as HTML. Nothing here knows a model.

One file that fetches nothing: pictures are inline SVG or data URIs, fonts the system's, and the content security
policy forbids the rest. Light and dark are one set of CSS variables; charts take their colours from it.
"""

import base64
import math
import re
from html import escape
from typing import NamedTuple

from logpx.report.style import STYLE, SVG, highlights
from logpx.theme import VARIABLES

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Picture(NamedTuple):
    """A picture in the page and in a file: SVG as text, everything else as bytes and a type."""

    file: str  # its name under figures/
    content: str | bytes
    alt: str

    def inline(self) -> str:
        """The picture as it stands in the page."""
        if isinstance(self.content, str):
            return self.content
        return f'<img src="{self.uri()}" alt="{escape(self.alt)}">'

    def uri(self) -> str:
        return f"data:image/{self.file.rsplit('.', 1)[1]};base64,{base64.b64encode(self.as_bytes()).decode()}"

    def as_bytes(self) -> bytes:
        """The file's content; an SVG carries the style that the page would give it."""
        if isinstance(self.content, bytes):
            return self.content
        return re.sub(r"(<svg[^>]*>)", rf"\1<style>{VARIABLES}{SVG}</style>", self.content, count=1).encode()


class Section(NamedTuple):
    """One heading of the page: what one looks at, the HTML below it and the pictures it holds."""

    title: str
    html: str
    pictures: tuple[Picture, ...] = ()

    def __str__(self) -> str:
        name = re.sub(r"\W+", "-", self.title.lower()).strip("-")
        return f'<section id="{name}"><h2>{escape(self.title)}</h2>\n{self.html}\n</section>\n'


def page(title: str, header: str, sections: list[Section], footer: str) -> str:
    """The whole document; `title` is text, the others are HTML."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>{VARIABLES}{SVG}{STYLE}{highlights()}</style>
</head>
<body>
<main>
<header>
{header}
</header>
{"".join(map(str, sections))}</main>
<footer>{footer}</footer>
</body>
</html>
"""


# --- text ------------------------------------------------------------------------------------------------------------


def number(value: float, digits: int = 2) -> str:
    """A number as it is printed: a true minus sign, thousands apart, "undefined" for nan."""
    if math.isnan(value):
        return "undefined"
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text.replace("-", "\u2212")


def digits_for(error: float, most: int = 4) -> int:
    """Decimals that show two significant digits of an error bar."""
    if not error > 0 or math.isinf(error):
        return 3
    return min(max(1 - math.floor(math.log10(error)), 0), most)


def with_error(value: float | None, error: float | None) -> str:
    """A number and its standard error, where there is one, both to the error's two digits; nothing for None."""
    if value is None:
        return ""
    digits = digits_for(error or 0.0)
    return number(value, digits) + (f" ± {number(error, digits)}" if error else "")


def big(name: str, value: float, error: float | None, unit: str) -> str:
    """The number at the top of a page: `name` and `unit` are HTML; no error where it is None, 0 or nan."""
    digits = digits_for(error or 0.0)
    known = error is not None and error > 0
    plus = f' <span class="error">± {number(error, digits)}</span>' if known else ""  # type: ignore[arg-type]
    return (
        f'<div class="score"><p class="name">{name}</p><p class="big">{number(value, digits)}{plus}</p>'
        f'<p class="unit">{unit}{" (± one standard error)" if plus else ""}</p></div>\n'
    )


def unbroken(words: str) -> str:
    """Text that stays on one line where it fits on one."""
    return f'<span class="unbroken">{escape(words)}</span>'


def lede(text: str) -> str:
    """The sentence that says what one looks at (HTML)."""
    return f'<p class="lede">{text}</p>\n'


def figure(picture: Picture, caption: str = "", kind: str = "") -> str:
    below = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f'<figure class="{kind}">{picture.inline()}{below}</figure>\n'


def side_by_side(figures: list[str], kind: str = "") -> str:
    return f'<div class="row {kind}">{"".join(figures)}</div>\n'


def pairs(rows: list[tuple[str, str]], kind: str) -> str:
    """A list of names (text) and values (HTML)."""
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in rows)
    return f'<dl class="{kind}">{cells}</dl>\n'


def table(head: list[str], rows: list[list[str]], kind: str = "") -> str:
    """A table of HTML cells, the first column its row headers."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>' for first, *rest in rows
    )
    start = f'<table class="{kind}">' if kind else "<table>"
    return f'<div class="scroll">{start}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>\n'


def symbols(name: str) -> str:
    """The name of an evidence with its letters set as mathematics."""
    text = re.sub(r"L_(\d+|None)", r"<i>L</i><sub>\1</sub>", escape(name))
    return text.replace("p(x)", "<i>p</i>(<i>x</i>)")
