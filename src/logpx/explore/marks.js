// What lies over the points of a map: the way from A to B, their letters, the rows meant, the z that is decoded.

function drawMarks(ctx, map) {
  const { z, a, b, near, hover } = map.marks;
  if (a && b) drawWay(ctx, map, a, b);
  const ring = (row, r, width) => {
    ctx.beginPath();
    ctx.arc(...map.screen(map.placed[row]), r, 0, 7);
    ctx.strokeStyle = css("--ink");
    ctx.lineWidth = width;
    ctx.stroke();
  };
  near.forEach(({ row }) => map.placed[row][2] >= 0 && ring(row, 4.5, 1));
  if (hover >= 0) ring(hover, 7, 2);
  if (a) drawLetter(ctx, map, a, "A");
  if (b) drawLetter(ctx, map, b, "B");
  if (z) drawHere(ctx, map, z);
  if (map.box) {
    const { from, to } = map.box;
    ctx.strokeStyle = css("--accent");
    ctx.setLineDash([4, 3]);
    ctx.strokeRect(from[0], from[1], to[0] - from[0], to[1] - from[1]);
    ctx.setLineDash([]);
  }
}

/** The geodesic from A to B, faint where it is behind. */
function drawWay(ctx, map, a, b) {
  const way = Array.from({ length: 65 }, (_, i) => map.view.place(map.space.geodesic(a, b, i / 64)));
  for (const [colour, width] of [
    [css("--paper"), 4.5],
    [css("--ink"), 1.75],
  ]) {
    ctx.strokeStyle = colour;
    ctx.lineWidth = width;
    ctx.lineJoin = ctx.lineCap = "round";
    for (let i = 1; i < way.length; i++) {
      ctx.globalAlpha = way[i][2] >= 0 ? 1 : 0.2;
      ctx.beginPath();
      ctx.moveTo(...map.screen(way[i - 1]));
      ctx.lineTo(...map.screen(way[i]));
      ctx.stroke();
    }
  }
  ctx.globalAlpha = 1;
}

function drawLetter(ctx, map, z, letter) {
  const p = map.view.place(z);
  const [x, y] = map.screen(p);
  ctx.globalAlpha = p[2] >= 0 ? 1 : 0.4;
  ctx.fillStyle = css("--ink");
  ctx.strokeStyle = css("--paper");
  ctx.lineWidth = 2;
  ctx.beginPath();
  ctx.arc(x, y, 9.5, 0, 7);
  ctx.fill();
  ctx.stroke();
  ctx.fillStyle = css("--paper");
  ctx.font = "600 11px system-ui, sans-serif";
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillText(letter, x, y + 0.5);
  ctx.globalAlpha = 1;
}

function drawHere(ctx, map, z) {
  const p = map.view.place(z);
  const [x, y] = map.screen(p);
  ctx.globalAlpha = p[2] >= 0 ? 1 : 0.4;
  for (const [colour, width] of [
    [css("--paper"), 6],
    [css("--accent"), 3],
  ]) {
    ctx.strokeStyle = colour;
    ctx.lineWidth = width;
    ctx.beginPath();
    ctx.arc(x, y, 12, 0, 7);
    ctx.stroke();
  }
  ctx.fillStyle = css("--accent");
  ctx.beginPath();
  ctx.arc(x, y, 2.25, 0, 7);
  ctx.fill();
  ctx.globalAlpha = 1;
}
