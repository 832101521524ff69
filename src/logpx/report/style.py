"""The style of the page and of its charts (floor 8), in the colours of the theme."""

from logpx.theme import PALETTE

CLASSES = 20  # colours told apart in one picture: the palette, and the palette mixed with the ink

SVG = """
svg { font: 11px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  font-variant-numeric: tabular-nums; fill: none; color: var(--ink); }
svg text { fill: var(--soft); }
svg text.name { fill: var(--ink); font-weight: 600; font-size: 12.5px; }
svg text.value { fill: var(--ink); }
svg .end { text-anchor: end; }
svg .middle { text-anchor: middle; }
svg .grid { stroke: var(--line); }
svg .axis { stroke: var(--faint); }
svg .guide { stroke: var(--faint); stroke-dasharray: 3 3; }
svg .ring { stroke: var(--ink); stroke-opacity: .4; stroke-dasharray: 3 4; }
svg .train { stroke: var(--second); stroke-width: 1.5; }
svg .held { stroke: var(--accent); stroke-width: 1.75; }
svg .train, svg .held { stroke-linejoin: round; stroke-linecap: round; }
svg .spot { stroke: var(--paper); stroke-width: 1.5; }
svg .spot.t { fill: var(--second); }
svg .spot.h { fill: var(--accent); }
svg .bar { fill: var(--accent); }
svg .bar.off { fill: var(--line); stroke: var(--faint); stroke-width: .5; }
svg .whisker { stroke: var(--ink); stroke-width: 1.25; }
svg .area { fill: var(--second); fill-opacity: .35; }
svg .mesh { stroke: var(--accent); stroke-opacity: .75; }
svg .dots { stroke-linecap: round; stroke: var(--accent); }
svg .dots.quiet { stroke: var(--second); stroke-opacity: .55; }
svg .hit rect { fill: transparent; }
svg .hit line { stroke: var(--ink); stroke-opacity: 0; }
svg .hit:hover line { stroke-opacity: .35; }
svg .label { fill: var(--ink); font-size: 12px; font-weight: 600; text-anchor: middle; paint-order: stroke;
  stroke: var(--paper); stroke-width: 3.5px; stroke-linejoin: round; pointer-events: none; }
""" + "".join(
    f".k{k} {{ --k: {colour}; }} .k{k + 10} {{ --k: color-mix(in oklab, {colour} 50%, var(--ink)); }}\n"
    for k, colour in enumerate(PALETTE)
) + "svg .dots[class*=' k'] { stroke: var(--k); stroke-opacity: .8; }\n"  # fmt: skip

STYLE = """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.55;
  text-rendering: optimizeLegibility;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main, footer { max-width: 62rem; margin: 0 auto; padding: 0 1.5rem; }
header { padding: 4.5rem 0 1rem; }
h1 { font-size: clamp(1.75rem, 4.5vw, 2.5rem); line-height: 1.15; letter-spacing: -.022em; font-weight: 650;
  margin: 0 0 .4rem; text-wrap: balance; }
h2 { font-size: 1.3rem; letter-spacing: -.012em; line-height: 1.25; font-weight: 620; margin: 0 0 .35rem; }
h3 { font-size: .95rem; font-weight: 600; margin: 2rem 0 .4rem; }
p { margin: 0 0 .8rem; max-width: 42rem; text-wrap: pretty; }
.soft, .lede, figcaption, footer { color: var(--soft); }
.reference { color: var(--soft); margin: 0 0 .2rem; }
section { margin-top: 3.6rem; padding-top: 1.5rem; border-top: 1px solid var(--line); }
.lede { margin-bottom: 1.4rem; }
.score { margin: 2.8rem 0 1rem; }
.score .name { color: var(--soft); margin: 0; }
.score .big { font-size: clamp(2.6rem, 9vw, 4.6rem); line-height: 1.08; letter-spacing: -.035em;
  font-weight: 300; margin: .1rem 0 .2rem; font-variant-numeric: tabular-nums; max-width: none; }
.score .error { font-size: .42em; letter-spacing: -.01em; color: var(--soft); white-space: nowrap; }
.score .unit { color: var(--soft); }
.warning { border-left: 3px solid #e76300; padding: .1rem 0 .1rem .9rem; margin: 1.4rem 0; }
dl { margin: 0; }
dd { margin: 0; overflow-wrap: anywhere; }
dt { color: var(--soft); }
dl.facts { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1.3rem 1.6rem; margin-top: 2.2rem; }
dl.facts dt { font-size: .82rem; }
dl.facts dd { font-size: 1.12rem; font-variant-numeric: tabular-nums; line-height: 1.35; }
dl.facts small { display: block; font-size: .82rem; color: var(--soft); }
dl.list > div { display: grid; grid-template-columns: 11rem 1fr; gap: 0 1.5rem; padding: .34rem 0;
  border-bottom: 1px solid var(--line); }
dl.list { font-size: .92rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
.scroll svg { min-width: 34rem; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; margin-top: 1.2rem;
  min-width: 22rem; }
th, td { padding: .34rem 0; border-bottom: 1px solid var(--line); font-weight: 400; text-align: right;
  padding-left: 2.5rem; }
th:first-child { text-align: left; padding-left: 0; }
table.close { font-size: .86rem; }
table.close th, table.close td { padding-left: 1.4rem; white-space: nowrap; }
table.close th:first-child { padding-left: 0; }
thead th { color: var(--soft); font-size: .82rem; }
figure { margin: 0; min-width: 0; }
figure svg, figure img { display: block; width: 100%; height: auto; }
figure img { max-width: max-content; border-radius: 3px; }
figcaption { font-size: .86rem; line-height: 1.45; margin-top: .6rem; max-width: 42rem; }
.row { display: grid; gap: 1.8rem 2rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); }
.row.small { grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: 1.4rem 1.6rem; }
.row.two { grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); max-width: 47rem; }
.row.thirds { grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); }
.wide { margin-top: 1.8rem; }
.narrow { max-width: 30rem; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; list-style: none; margin: 0 0 .9rem; padding: 0;
  font-size: .86rem; color: var(--soft); }
.legend li { display: flex; align-items: center; gap: .45rem; cursor: default; }
.legend li::before { content: ""; width: .62rem; height: .62rem; border-radius: 50%;
  background: var(--k, var(--accent)); }
.legend li.line::before { width: 1.3rem; height: 0; border-radius: 0; background: none;
  border-top: 2px solid var(--k); }
.legend li.best::before { width: 0; height: 1rem; border-radius: 0; background: none;
  border-left: 1.5px dashed var(--faint); }
pre { background: var(--wash); border-radius: 6px; padding: .9rem 1.1rem; overflow-x: auto; font-size: .86rem;
  line-height: 1.5; margin: 0 0 1.6rem; white-space: pre-wrap; overflow-wrap: anywhere; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code { font-size: .92em; }
.unbroken { display: inline-block; max-width: 100%; }
.hash { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: .84em; }
footer { font-size: .86rem; padding-top: 3.5rem; padding-bottom: 4rem; }
@media (max-width: 34rem) {
  main, footer { padding-left: 1.1rem; padding-right: 1.1rem; }
  header { padding-top: 2.4rem; }
  dl.list > div { grid-template-columns: 1fr; }
  dl.facts { grid-template-columns: 1fr 1fr; }
  th, td { padding-left: 1.2rem; }
  table { min-width: 100%; }
}
@media print {
  section { break-inside: avoid-page; }
}
"""


def highlights() -> str:
    """A class under the pointer, in the legend or in the picture, dims the others: no script needed."""
    rules = (f".scatter:has(.k{k}:hover) .dots:not(.k{k}) {{ stroke-opacity: .07; }}" for k in range(CLASSES))
    return "".join(rules)
