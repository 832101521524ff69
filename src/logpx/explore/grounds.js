// What lies under the points of a map: the axes of a plane, the rim of a disk, the grid of a globe.

function drawPlane(ctx, map) {
  const step = niceStep(90 / map.camera.k);
  const [x0, y1] = map.world(0, 0);
  const [x1, y0] = map.world(map.width, map.height);
  ctx.font = "11px system-ui, sans-serif";
  ctx.lineWidth = 1;
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const bare = map.behind && map.tiles;
  const line = (value, along) => {
    ctx.strokeStyle = css("--line");
    ctx.globalAlpha = bare ? 0 : Math.abs(value) < step / 2 ? 1 : 0.65;
    ctx.beginPath();
    if (along === "x") {
      const px = Math.round(map.screen([value, 0])[0]) + 0.5;
      ctx.moveTo(px, 0);
      ctx.lineTo(px, map.height);
    } else {
      const py = Math.round(map.screen([0, value])[1]) + 0.5;
      ctx.moveTo(0, py);
      ctx.lineTo(map.width, py);
    }
    ctx.stroke();
    ctx.globalAlpha = 1;
  };
  const text = (words, x, y) => bare || haloed(ctx, words, x, y);
  for (let v = Math.ceil(x0 / step) * step; v < x1; v += step) {
    line(v, "x");
    ctx.textAlign = "center";
    const px = map.screen([v, 0])[0];
    if (px > 30 && px < map.width - 60) text(fixed(v, digits), px, map.height - 8);
  }
  const flat = map.view.j === null;
  for (let v = Math.ceil(y0 / step) * step; v < y1 && !flat; v += step) {
    line(v, "y");
    ctx.textAlign = "left";
    const py = map.screen([0, v])[1];
    if (py > 26 && py < map.height - 22) text(fixed(v, digits), 8, py + 4);
  }
  const [across, up] = map.view.axes;
  ctx.font = "600 12px system-ui, sans-serif";
  ctx.textAlign = "right";
  text(across.name, map.width - 10, map.height - 8);
  ctx.textAlign = "left";
  if (up) text(up.name, 8, 18);
  if (map.standard && up) drawPrior(ctx, map);
}

/** One, two and three standard deviations of the prior. */
function drawPrior(ctx, map) {
  ctx.setLineDash([2, 4]);
  ctx.strokeStyle = css("--soft");
  for (const r of [1, 2, 3]) {
    ctx.beginPath();
    ctx.arc(...map.screen([0, 0]), r * map.camera.k, 0, 7);
    ctx.stroke();
  }
  ctx.setLineDash([]);
}

function drawDisk(ctx, map) {
  const [x, y] = map.screen([0, 0]);
  ctx.setLineDash([2, 4]);
  ctx.lineWidth = 1;
  ctx.strokeStyle = css("--faint");
  for (const r of [1, 2, 3, 4]) {
    ctx.beginPath();
    ctx.arc(x, y, Math.tanh(r / 2) * map.camera.k, 0, 7);
    ctx.stroke();
  }
  ctx.setLineDash([]);
  ctx.lineWidth = 1.5;
  ctx.strokeStyle = css("--soft");
  ctx.beginPath();
  ctx.arc(x, y, map.camera.k, 0, 7);
  ctx.stroke();
}

function drawGlobe(ctx, map) {
  const [x, y] = map.screen([0, 0]);
  ctx.lineWidth = 1.5;
  ctx.strokeStyle = css("--faint");
  ctx.beginPath();
  ctx.arc(x, y, map.camera.k, 0, 7);
  if (!(map.behind && map.tiles)) {
    const shade = ctx.createRadialGradient(x - map.camera.k / 3, y - map.camera.k / 3, 0, x, y, 1.2 * map.camera.k);
    shade.addColorStop(0, css(isDark() ? "--line" : "--paper"));
    shade.addColorStop(1, css(isDark() ? "--paper" : "--line"));
    ctx.fillStyle = shade;
    ctx.fill();
  }
  ctx.stroke();
  ctx.lineWidth = 0.75;
  const around = (f) => curve(ctx, map, f);
  for (let a = 0; a < 12; a++) around((t) => globePoint((a * Math.PI) / 6, (t - 0.5) * Math.PI));
  for (let b = -2; b <= 2; b++) around((t) => globePoint(2 * Math.PI * t, (b * Math.PI) / 6));
}

const globePoint = (longitude, latitude) => [
  Math.cos(latitude) * Math.sin(longitude),
  Math.sin(latitude),
  Math.cos(latitude) * Math.cos(longitude),
];

/** The parts of a curve on the globe that face the reader. */
function curve(ctx, map, f) {
  ctx.beginPath();
  let drawing = false;
  for (let i = 0; i <= 72; i++) {
    const p = applied(map.view.turned, f(i / 72));
    const [x, y] = map.screen(p);
    if (p[2] >= 0 && drawing) ctx.lineTo(x, y);
    else if (p[2] >= 0) ctx.moveTo(x, y);
    drawing = p[2] >= 0;
  }
  ctx.globalAlpha = 0.6;
  ctx.stroke();
  ctx.globalAlpha = 1;
}

/** Text that stays readable over points. */
function haloed(ctx, words, x, y) {
  ctx.lineWidth = 3.5;
  ctx.lineJoin = "round";
  ctx.strokeStyle = css("--paper");
  ctx.strokeText(words, x, y);
  ctx.fillStyle = css("--soft");
  ctx.fillText(words, x, y);
  ctx.lineWidth = 1;
}

/** 1, 2 or 5 times a power of ten, no less than x. */
function niceStep(x) {
  const power = 10 ** Math.floor(Math.log10(x));
  return power * [1, 2, 5, 10].find((k) => k * power >= x);
}
