"use strict";

/**
 * Outlines of the mask as paths in its pixels: `outline(phase, slice, ids)` goes between the pixels that have one
 * of the ids and those that have none (marching squares). Corners are rounded for the eye; nothing is measured here.
 */
function makeOutlines(labels, { mask_width: width, mask_height: height, z }) {
  const made = new Map();
  // Middles of the four sides of a square of pixel centres, clockwise, counted in half pixels from its corner.
  const SIDES = [[1, 0], [2, 1], [1, 2], [0, 1]];
  const STRIDE = 2 * width + 4;

  outline.forget = (phase, slice) => { // somebody draws there
    for (const key of made.keys()) if (key.startsWith(`${phase}/${slice}/`)) made.delete(key);
  };
  return outline;

  function outline(phase, slice, ids) {
    const key = `${phase}/${slice}/${ids}`;
    if (!made.has(key)) {
      const start = (phase * z.length + slice) * width * height;
      made.set(key, rounded(loops(steps(labels.subarray(start, start + width * height), ids))));
    }
    return made.get(key);
  }

  /** From every point of the outlines the next one, the inside always on the same hand. */
  function steps(mask, ids) {
    const wide = width + 2, inside = new Uint8Array(wide * (height + 2)); // with a rim that is outside
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) if (ids.includes(mask[i])) inside[(y + 1) * wide + x + 1] = 1;
    }
    const next = new Map();
    for (let y = 0; y <= height; y++) {
      for (let x = 0; x <= width; x++) {
        const i = y * wide + x, count = inside[i] + inside[i + 1] + inside[i + wide] + inside[i + wide + 1];
        if (count === 0 || count === 4) continue;
        const corners = [inside[i], inside[i + 1], inside[i + wide + 1], inside[i + wide]];
        addSteps(next, corners, (side) => (2 * y + SIDES[side][1]) * STRIDE + 2 * x + SIDES[side][0]);
      }
    }
    return next;
  }

  function addSteps(next, corners, point) {
    for (let i = 0; i < 4; i++) {
      if (!corners[i] || corners[(i + 1) % 4]) continue;
      let j = i; // back over the inside corners to where the outline came in
      while (corners[(j + 3) % 4]) j = (j + 3) % 4;
      next.set(point(i), point((j + 3) % 4));
    }
  }

  function loops(next) {
    const found = [];
    while (next.size) {
      let at = next.keys().next().value;
      const loop = [];
      while (next.has(at)) {
        loop.push([((at % STRIDE) - 1) / 2, (Math.floor(at / STRIDE) - 1) / 2]);
        const to = next.get(at);
        next.delete(at);
        at = to;
      }
      found.push(loop);
    }
    return found;
  }

  function rounded(closed) {
    const path = new Path2D();
    const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    const towards = (p, to, weight) => [p[0] + weight * (to[0] - p[0]), p[1] + weight * (to[1] - p[1])];
    const after = (loop, i) => loop[(i + 1) % loop.length];
    // Taubin's smoothing: every step outwards undoes the shrinking of the step inwards.
    const relaxed = (loop, weight) => loop.map((p, i) => towards(p, middle(loop.at(i - 1), after(loop, i)), weight));
    for (let loop of closed) {
      for (let i = 0; i < 12; i++) loop = relaxed(loop, i % 2 ? -0.53 : 0.5);
      path.moveTo(...middle(loop.at(-1), loop[0]));
      loop.forEach((p, i) => path.quadraticCurveTo(...p, ...middle(p, after(loop, i))));
      path.closePath();
    }
    return path;
  }
}
