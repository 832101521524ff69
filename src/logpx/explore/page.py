"""The page as one file (floor 8): markup, style and script as they stand in this folder, and all that they need, embedded.

The policy lets the page run the one script and the one style whose digests it names and scripts that it makes of its own
bytes (blob:, the embedded runtime), compile the embedded WebAssembly, and nothing else: no address is in it that could be
asked. Arrays and programs are gzip in base64, which holds no markup; words go in as JSON whose angle brackets are escapes, so
that no label of a row can end its element.
"""

import base64
import gzip
import hashlib
import json
import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from logpx.explore.payload import Payload
from logpx.theme import DARK, LIGHT, PALETTE

HERE = Path(__file__).parent
#: in the order in which they build on each other; together they are one module
SCRIPTS = (
    "geometry",
    "colours",
    "views",
    "decoder",
    "show",
    "grounds",
    "marks",
    "pointer",
    "map",
    "use",
    "panels",
    "explorer",
    "start",
)

POLICY = (
    "default-src 'none'; script-src 'sha256-{script}' 'wasm-unsafe-eval' blob:; style-src 'sha256-{style}'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)


def page(known: Payload, model: bytes) -> str:
    """The whole of explorer.html."""
    script, style = program(), stylesheet()
    policy = POLICY.format(script=_digest(script), style=_digest(style))
    parts = {
        "policy": policy,
        "title": escape(known.about["title"]),
        "style": style,
        "script": script,
        "about": as_json(known.about),
        "rows": _packed(known.block()),
        "model": _packed(model),
        "ort": _runtime("ort.wasm.bundle.min.mjs"),
        "wasm": _runtime("ort-wasm-simd-threaded.wasm.gz"),
    }
    frame = (HERE / "page.html").read_text(encoding="utf-8")
    return re.sub(r"%(\w+)%", lambda match: parts[match[1]], frame)  # in one pass: a label may read %style%


def program() -> str:
    """The script: its parts end to end."""
    texts = [(HERE / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    return f"const PALETTE = {json.dumps(PALETTE)};\n" + "\n".join(texts)


def stylesheet() -> str:
    """The style, with the theme's colours for whoever chose a side and for whoever did not."""
    themes = (
        f":root {{ {LIGHT} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {{ {DARK} }} }}\n"
        f":root[data-theme=dark] {{ {DARK} }}\n"
    )
    return themes + (HERE / "style.css").read_text(encoding="utf-8")


def as_json(value: Any) -> str:
    """JSON that is safe inside a script element: nothing in it can end the element or begin a comment."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    escapes = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
    return "".join(escapes.get(c, c) for c in text)


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


@cache
def _runtime(name: str) -> str:
    """A file of onnxruntime-web, as it lies in vendor/, compressed."""
    content = (HERE / "vendor" / name).read_bytes()
    return base64.b64encode(content).decode() if name.endswith(".gz") else _packed(content)
