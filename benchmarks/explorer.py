"""The explorer's frames: z goes round a circle, one step a frame; each frame asks for its decode and for all that follows.

    python benchmarks/explorer.py runs/demo/explorer.html --seconds 3 --rounds 5

In the system's headless Chromium, which draws without a GPU; a frame is 16.7 ms there. Printed: frames a second and, of the
frames, the share whose z was decoded before the next one, the median and range over the rounds.
"""

import argparse
import shutil
import statistics
from pathlib import Path
from typing import Any

ROUND = """seconds => new Promise(done => {
  const e = explorer, start = performance.now(), here = Array.from(e.z);
  let frames = 0, decoded = 0, last = null;
  function step(now) {
    const picture = document.getElementById('picture');
    if (picture.decoded && last && picture.decoded.z.every((v, i) => Math.abs(v - last[i]) < 1e-9)) decoded += 1;
    if (now - start > 1000 * seconds) {
      e.go(here);
      return done({ rate: frames / (now - start) * 1000, share: decoded / frames });
    }
    const turn = frames / 30;
    last = here.map((v, i) => (i === 0 ? Math.cos(turn) : i === 1 ? Math.sin(turn) : v) * 0.5);
    e.go(last);
    frames += 1;
    requestAnimationFrame(step);
  }
  requestAnimationFrame(step);
})"""


def rounds(browser: Any, page: Path, seconds: float, n: int) -> list[dict[str, float]]:
    """{"rate": frames a second, "share": of frames whose z was decoded} of each round."""
    opened = browser.new_context(offline=True, viewport={"width": 1280, "height": 900}).new_page()
    opened.goto(page.resolve().as_uri())
    opened.wait_for_selector("main[data-ready]")
    opened.wait_for_timeout(1500)
    return [opened.evaluate(ROUND, seconds) for _ in range(n)]


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("pages", nargs="+", type=Path, help="pages that logpx explore wrote")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise SystemExit("There is no Chromium here: install the system's package of that name.")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        for page in given.pages:
            made = rounds(browser, page, given.seconds, given.rounds)
            rate, share = ([each[key] for each in made] for key in ("rate", "share"))
            print(
                f"{page}: {statistics.median(rate):.1f} frames a second ({min(rate):.1f} to {max(rate):.1f}), "
                f"{statistics.median(share):.1%} of them decoded in time ({min(share):.1%} to {max(share):.1%})"
            )
        browser.close()


if __name__ == "__main__":
    main()
