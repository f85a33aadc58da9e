/**
 * The volumes over the cycle as a picture that follows the viewer and leads it.
 * `link` has `phase()` and `go(phase)` of the viewer, `words(phase)` and which structures are `shown`.
 */
function makeCurve(data, link) {
  const { times, phases } = data;
  const plot = document.getElementById("curve"), said = document.getElementById("curve-said");
  const PAD = { left: 44, right: 14, top: 20, bottom: 34 };
  const volumes = data.curve.series.map((series, i) => ({ ...series, ...data.structures[i] }));
  const digits = data.curve.unit === "ml" ? 1 : 0;
  const at = (phase) => (times.length ? times[phase] : phase + 1);
  let scaleX = null, scaleY = null, now = null, dots = [];

  plot.setAttribute("aria-valuemin", 1);
  plot.setAttribute("aria-valuemax", phases);
  plot.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    plot.setPointerCapture(event.pointerId);
    seek(event);
  });
  plot.addEventListener("pointermove", (event) => event.buttons && seek(event));
  new ResizeObserver(() => draw()).observe(plot);
  return { draw, move };

  function seek(event) {
    const x = event.clientX - plot.getBoundingClientRect().left;
    const distance = (phase) => Math.abs(scaleX(at(phase)) - x);
    link.go([...Array(phases).keys()].reduce((best, phase) => (distance(phase) < distance(best) ? phase : best)));
  }

  function svg(name, attributes, text) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    plot.append(element);
    return element;
  }

  function draw(w = plot.clientWidth, h = plot.clientHeight) {
    if (phases < 2 || !w) return;
    plot.replaceChildren();
    plot.setAttribute("viewBox", `0 0 ${w} ${h}`);
    const shown = volumes.filter((volume) => link.shown[volume.name]);
    const top = 1.08 * (Math.max(0, ...shown.flatMap((volume) => [...volume.points, ...volume.smooth])) || 1);
    const from = at(0), to = at(phases - 1);
    scaleX = (x) => PAD.left + ((x - from) / (to - from)) * (w - PAD.left - PAD.right);
    scaleY = (y) => h - PAD.bottom - (y / top) * (h - PAD.top - PAD.bottom);
    drawAxes(w, h, top, from, to);
    drawEvents(h);
    now = svg("line", { class: "now", y1: PAD.top - 4, y2: h - PAD.bottom });
    shown.forEach(drawVolume);
    dots = shown.map((volume) => [volume, svg("circle", { class: "halo", r: 5, fill: volume.colour })]);
    move();
  }

  function drawAxes(w, h, top, from, to) {
    for (const y of ticks(0, top, 4)) {
      svg("line", { class: "grid", x1: PAD.left, x2: w - PAD.right, y1: scaleY(y), y2: scaleY(y) });
      svg("text", { x: PAD.left - 6, y: scaleY(y) + 4, "text-anchor": "end" }, Number(y.toPrecision(6)));
    }
    const marks = ticks(from, to, times.length ? w / 110 : Math.min(phases, w / 60));
    for (const x of marks.filter((mark) => times.length || Number.isInteger(mark))) {
      svg("text", { x: scaleX(x), y: h - PAD.bottom + 15, "text-anchor": "middle" }, Number(x.toPrecision(6)));
    }
    const name = times.length ? "time after the R wave (ms)" : "phase";
    svg("text", { x: (PAD.left + w - PAD.right) / 2, y: h - 4, "text-anchor": "middle" }, name);
  }

  /** Round numbers between two values, about as many as wanted. */
  function ticks(low, high, wanted) {
    const rough = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(rough));
    const gap = power * [1, 2, 5, 10].find((m) => m * power >= rough * (1 - 1e-9));
    const found = [];
    for (let i = Math.ceil(low / gap); i * gap <= high * (1 + 1e-9); i++) found.push(i * gap);
    return found;
  }

  function drawEvents(h) {
    const events = data.ed === data.es ? [["ED", data.ed]] : [["ED", data.ed], ["ES", data.es]];
    for (const [name, phase] of events) {
      const x = scaleX(at(phase));
      svg("line", { class: "event", x1: x, x2: x, y1: PAD.top - 4, y2: h - PAD.bottom });
      svg("text", { x, y: PAD.top - 8, "text-anchor": "middle" }, name);
    }
  }

  function drawVolume({ points, smooth, colour }) {
    const line = smooth.flatMap((y, i) => (y === null ? [] : [`${scaleX(at(i))},${scaleY(y)}`]));
    svg("polyline", { points: line.join(" "), fill: "none", stroke: colour, "stroke-width": 2 });
    points.forEach((y, i) => {
      if (y !== null) svg("circle", { cx: scaleX(at(i)), cy: scaleY(y), r: 2.6, fill: colour });
    });
  }

  /** The phase that the viewer shows. */
  function move() {
    if (!now) return;
    const phase = link.phase(), x = scaleX(at(phase));
    now.setAttribute("x1", x);
    now.setAttribute("x2", x);
    for (const [{ points }, dot] of dots) {
      dot.setAttribute("cx", x);
      dot.setAttribute("cy", points[phase] === null ? -99 : scaleY(points[phase]));
    }
    const known = volumes.filter(({ points }) => points[phase] !== null);
    const values = known.map(({ name, points }) => `${name} ${points[phase].toFixed(digits)}`);
    said.textContent = `Phase ${link.words(phase)}: ${values.join(", ")} ${data.curve.unit}`;
    plot.setAttribute("aria-valuenow", phase + 1);
    plot.setAttribute("aria-valuetext", said.textContent);
  }
}
