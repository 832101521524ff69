"""One picture for each recipe's page, from a short training on data that show what is special about it.

`python docs/pictures.py` makes them all, `--only NAME ...` some, in about half a minute each on one core. The command that
trained, the number it reached and the caption go to docs/methods_pictures/pictures.json, from which pages are made.
"""

import argparse
import base64
import io
import json
import math
import re
import shlex
import tempfile
from pathlib import Path
from typing import Any

from drawings import rows_only, spoken
from PIL import Image
from shots import SHOTS, Shot

from logpx.cli import run as logpx
from logpx.cli.opened import reopen
from logpx.evaluate import Evidence, at_rest, batch_of, evidence
from logpx.model import VAE, Batch
from logpx.report.page import Picture
from logpx.report.pictures import TINT
from logpx.report.style import SVG
from logpx.subject import Subject
from logpx.theme import VARIABLES
from logpx.train.state import write_atomically

FOLDER = Path(__file__).parent / "methods_pictures"
KEPT = FOLDER / "pictures.json"
PAPER, MARGIN, WIDEST = "#fdfdfb", 12, 640  # the card that a picture stands on, light whatever the page is
LARGEST, INSIDE = 40_000, 80  # bytes of a picture, and pixels of an image inside a chart
ROWS, DRAWS = 1000, 100  # test rows and k of the number in the caption


def make(name: str, shot: Shot) -> dict[str, Any]:
    """Trains, judges, draws and writes one picture; returns what is kept about it."""
    arguments = ["train", name, *shlex.split(shot.train), "--seed", "0"]
    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / name
        assert logpx([*arguments, "--out", str(out), "--no-report", "--quiet", "--evidence-samples", "1"]) == 0
        run, data = reopen(out)
        batch = batch_of(data.test, slice(0, ROWS))
        found = evidence(run.model, batch, samples=DRAWS) if run.model.has_evidence else None
        with at_rest(run.model):
            picture = shot.draw(Subject(run, rows_only(data, shot.rows), found))
        number = of_evidence(found) if found else of_reconstructions(run.model, batch)
    return {
        "file": write(name, picture),
        "alt": spoken(picture),
        "words": shot.words,
        "width": shot.width,
        "command": shlex.join(["logpx", *arguments]),
        "data": f"{data.name} ({data.protocol})" if data.protocol != "as-is" else data.name,
        "epochs": len(run.rows),
        "seed": 0,
        "number": number,
    }


def of_evidence(found: Evidence) -> dict[str, Any]:
    said = found.summary()
    return {"name": found.name} | {key: said[key] for key in ("kind", "value", "standard_error", "points")}


def of_reconstructions(model: VAE, batch: Batch) -> dict[str, Any]:
    """log p(x|z) at z = f(x), where a model has no log p(x): its mean over rows and the error of that."""
    with at_rest(model):
        log_px = model.decode(model.encode(batch).mean, batch.context).log_prob(batch.x).double()
    error = log_px.std() / math.sqrt(len(log_px))
    name = "log p(x|z) at z = f(x)"
    return {
        "name": name,
        "kind": "no evidence",
        "value": log_px.mean().item(),
        "standard_error": error.item(),
        "points": len(log_px),
    }


def write(name: str, picture: Picture) -> str:
    """The picture on its card, beside the others; returns the file's name."""
    svg = isinstance(picture.content, str)
    content = carded_svg(picture.content) if isinstance(picture.content, str) else carded_png(picture.content)
    file = f"{name}.{'svg' if svg else 'png'}"
    write_atomically(FOLDER / file, lambda beside: beside.write_bytes(content) and None)
    for former in set(FOLDER.glob(f"{name}.*")) - {FOLDER / file}:  # of another kind
        former.unlink()
    return file


def carded_svg(text: str) -> bytes:
    """A chart in the light colours on its card, so that it reads the same on a page of either colour."""
    left, top, width, height = map(float, re.search(r'viewBox="([^"]*)"', text)[1].split())  # type: ignore[index]
    box = f"{left - MARGIN:g} {top - MARGIN:g} {width + 2 * MARGIN:g} {height + 2 * MARGIN:g}"
    text = re.sub(r"data:image/png;base64,([\w+/=]+)", lighter, without_hovers(text))
    light = re.sub(r"\s+", " ", VARIABLES.split("@media")[0] + SVG)
    card = f'<rect x="{left - MARGIN:g}" y="{top - MARGIN:g}" width="100%" height="100%" style="fill:{PAPER}"/>'
    text = re.sub(r'viewBox="[^"]*"', f'viewBox="{box}" width="{width + 2 * MARGIN:g}"', text, count=1)
    return re.sub(r"(<svg[^>]*>)", rf"\1<style>{light}</style>{card}", text, count=1).encode()


def without_hovers(text: str) -> str:
    """What only a page's own SVG shows is left out: as a file it would be weight."""
    return re.sub(r'<g class="hit">.*?</g>|<title>.*?</title>', "", text, flags=re.DOTALL)


def lighter(found: re.Match[str]) -> str:
    """A density's tint at about its own resolution: one colour, whose opacity says it all; a browser enlarges as smoothly."""
    image = Image.open(io.BytesIO(base64.b64decode(found[1])))
    image.thumbnail((INSIDE, INSIDE), Image.Resampling.LANCZOS)
    tint = Image.new("RGBA", image.size, TINT)
    tint.putalpha(image.getchannel("A").point(lambda a: a // 4 * 4))
    buffer = io.BytesIO()
    tint.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def carded_png(content: bytes) -> bytes:
    """A sheet of images on its card, at most so wide, in as many greys or colours as there is room for."""
    image = Image.open(io.BytesIO(content)).convert("RGBA")
    if image.width > WIDEST - 2 * MARGIN:
        height = round(image.height * (WIDEST - 2 * MARGIN) / image.width)
        image = image.resize((WIDEST - 2 * MARGIN, height), Image.Resampling.LANCZOS)
    card = Image.new("RGBA", (image.width + 2 * MARGIN, image.height + 2 * MARGIN), PAPER)
    card.alpha_composite(image, (MARGIN, MARGIN))
    smaller = (_with_colours(card, colours) for colours in (32, 24, 16, 12, 8))
    return next(found for found in smaller if len(found) < LARGEST)


def _with_colours(card: Image.Image, colours: int) -> bytes:
    buffer = io.BytesIO()
    card.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def kept() -> dict[str, Any]:
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SHOTS, default=list(SHOTS), metavar="NAME")
    for name in parser.parse_args().only:
        one = make(name, SHOTS[name])
        made = kept() | {name: one}
        text = json.dumps({n: made[n] for n in SHOTS if n in made}, indent=2) + "\n"
        write_atomically(KEPT, lambda beside, text=text: beside.write_text(text) and None)
        print(f"{name}: {(FOLDER / made[name]['file']).stat().st_size:,} bytes", flush=True)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    main()
