"""Pictures of pixels (floor 8): grids of images, a density as a tint, the latent space as an animation. All by Pillow.

Gaps and grounds are transparent, so that one file stands on a light page and on a dark one.
"""

import io

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from logpx.report.charts import Axis, Range
from logpx.report.style import CLASSES
from logpx.theme import PALETTE

SIZE = 480  # of the animation, in pixels
FRAMES, FILMED = 60, 800  # of it, and its points, at most: where they move at random a frame takes 15 kB
SPELL = 240  # milliseconds from one epoch to the next
INK = "#808489"  # a grey that reads on both grounds
TINT = (63, 144, 218)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def tiled(images: Tensor, columns: int, *, gap: int = 6, band: int = 0, tile: int = 84, ends: bool = False) -> bytes:
    """Images (N, C, H, W) in [0, 1] as a PNG of so many columns, each about `tile` pixels wide.

    Transparent gaps lie between the images, and in them where a pixel is missing (nan); after every `band` rows the gap
    is wider, and so it is, with `ends`, beside the first and the last column.
    """
    scale = max(1, round(tile / max(images.shape[2:])))
    seen = (~images.isnan().any(1, keepdim=True)).mul(255).to(torch.uint8)
    seen = seen.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    images = images[:, : 3 if images.shape[1] == 3 else 1].nan_to_num().clamp(0, 1).mul(255).round().to(torch.uint8)
    images = images.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    N, C, H, W = images.shape
    rows = range(-(-N // columns))
    top = [r * (H + gap) + (3 * gap * (r // band) if band else 0) for r in rows]
    wider = 4 * gap * ends
    left = [c * (W + gap) + wider * ((c > 0) + (c == columns - 1)) for c in range(columns)]
    sheet = torch.zeros(C + 1, top[-1] + H, left[-1] + W, dtype=torch.uint8)
    for i, image in enumerate(images):
        y, x = top[i // columns], left[i % columns]
        sheet[:C, y : y + H, x : x + W] = image
        sheet[C, y : y + H, x : x + W] = seen[i, 0]
    return png(_image(sheet if gap or not bool(seen.all()) else sheet[:C]))


def _image(planes: Tensor) -> Image.Image:
    array = planes.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(array[..., 0] if len(planes) == 1 else array)


def tint(density: Tensor, top: float, size: int = 400) -> bytes:
    """A density (rows from the top, columns) as one colour whose opacity grows with its square root up to `top`."""
    alpha = (density / max(top, 1e-300)).clamp(0, 1).sqrt().mul(235).round().to(torch.uint8)
    colour = torch.tensor(TINT, dtype=torch.uint8)[:, None, None].expand(3, *alpha.shape)
    return png(_image(torch.cat([colour, alpha[None]])).resize((size, size), Image.Resampling.BICUBIC))


# --- the animation ---------------------------------------------------------------------------------------------------


def animation(
    frames: Tensor, words: list[str], labels: Tensor | None, ranges: tuple[Range, Range], rim: float | None = None
) -> tuple[bytes, bytes]:
    """Frames (E, N, 2) over fixed axes: an animated WebP that rests on its last frame, and that frame as a PNG.

    words  of each frame, in its corner. Between two frames the points move, slowly at either end; the film has at most
           FRAMES frames of FILMED points each, which keeps it below a megabyte.
    rim    the radius of a circle about 0 that is drawn around the points.
    """
    x, y = Axis(*ranges[0], 0, 2 * SIZE), Axis(*ranges[1], 2 * SIZE, 0)
    frames = frames[:, :FILMED]
    colours, steps = _colours(labels, frames.shape[1]), steps_between(len(frames))
    said = [text for text in words[:-1] for _ in range(steps)] + words[-1:]
    drawn = [
        _frame(points, colours, text, x, y, rim)
        for points, text in zip(eased(frames, steps).tolist(), said, strict=True)
    ]
    duration = [180, *[SPELL // steps] * (len(drawn) - 2), 2500]
    buffer = io.BytesIO()
    drawn[0].save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=drawn[1:],
        duration=duration,
        loop=0,
        quality=40,
        alpha_quality=40,
        method=4,
    )
    return buffer.getvalue(), png(drawn[-1])


def steps_between(frames: int) -> int:
    """How many frames of the film lead from one of so many to the next."""
    return max(1, min(4, (FRAMES - 1) // max(frames - 1, 1)))


def eased(frames: Tensor, steps: int) -> Tensor:
    """Frames (E, N, 2) with others between them, (1 + (E - 1) steps, N, 2): a + (b - a) t^2 (3 - 2t)."""
    t = torch.arange(steps) / steps
    t = (t.square() * (3 - 2 * t))[:, None, None]
    between = frames[:-1, None] + (frames[1:] - frames[:-1])[:, None] * t
    return torch.cat([between.flatten(0, 1), frames[-1:]])


def _colours(labels: Tensor | None, n: int) -> list[str]:
    if labels is None:
        return [PALETTE[0]] * n
    return [_colour(k % CLASSES) for k in labels[:n].tolist()]


def _colour(k: int) -> str:
    """The palette, then the palette halfway to the grey ink, much as the style sheet has it."""
    if k < len(PALETTE):
        return PALETTE[k]
    halves = [(int(PALETTE[k - 10][i : i + 2], 16) + int(INK[i : i + 2], 16)) // 2 for i in (1, 3, 5)]
    return "#{:02x}{:02x}{:02x}".format(*halves)


def _frame(
    points: list[list[float]], colours: list[str], words: str, x: Axis, y: Axis, rim: float | None
) -> Image.Image:
    """One frame, drawn at twice its size and reduced: smooth edges."""
    picture = Image.new("RGBA", (2 * SIZE, 2 * SIZE), (0, 0, 0, 0))
    pen = ImageDraw.Draw(picture)
    if rim is not None:
        pen.ellipse((x(-rim), y(rim), x(rim), y(-rim)), outline=INK, width=2)
    for (a, b), colour in zip(points, colours, strict=True):
        u, v = x(a), y(b)
        pen.ellipse((u - 4, v - 4, u + 4, v + 4), fill=colour)
    pen.text((16, 12), words, fill=INK, font=ImageFont.load_default(size=30))
    return picture.reduce(2)
