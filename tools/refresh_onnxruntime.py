"""Fetches the two files of onnxruntime-web that `logpx explore` embeds, and prints their sha256, which a test knows.

    python tools/refresh_onnxruntime.py 1.30.0

Needs npm, and the Python package onnxruntime, whose notices of third parties stand for the same sources. The WebAssembly is
kept compressed, without a time, so that the same release gives the same bytes.
"""

import argparse
import gzip
import hashlib
import subprocess
import tarfile
import tempfile
from importlib.util import find_spec
from pathlib import Path

VENDOR = Path(__file__).parents[1] / "src" / "logpx" / "explore" / "vendor"
CODE, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"


def packed(version: str, folder: str) -> dict[str, bytes]:
    """The content of the two files in the published package."""
    line = ["npm", "pack", "--silent", f"onnxruntime-web@{version}", "--pack-destination", folder]
    subprocess.run(line, check=True)
    (archive,) = Path(folder).glob("*.tgz")
    with tarfile.open(archive) as files:
        return {name: files.extractfile(f"package/dist/{name}").read() for name in (CODE, WASM)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version")
    version = parser.parse_args().version
    with tempfile.TemporaryDirectory() as folder:
        files = packed(version, folder)
    installed = Path(find_spec("onnxruntime").origin).parent
    kept = {
        CODE: files[CODE],
        f"{WASM}.gz": gzip.compress(files[WASM], 9, mtime=0),
        "LICENSE": (installed / "LICENSE").read_bytes(),
        "ThirdPartyNotices.txt": (installed / "ThirdPartyNotices.txt").read_bytes(),
        "VERSION": f"{version}\n".encode(),
    }
    for name, content in kept.items():
        (VENDOR / name).write_bytes(content)
        print(f"{hashlib.sha256(content).hexdigest()}  {name}")


if __name__ == "__main__":
    main()
