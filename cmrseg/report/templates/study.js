(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const { phases, times, structures } = data;
  const every = data.z.map((_, slice) => slice), count = every.length;
  const stage = $("stage"), canvas = $("canvas");
  const window0 = {
    level: (data.window[0] + data.window[1]) / 2, width: Math.max(2, data.window[1] - data.window[0]),
  };
  const zoom0 = { zoom: 1, x: 0.5, y: 0.5 }; // x and y: which point of the slice is in the middle, in parts
  const view = {
    phase: data.ed, slice: Math.floor(count / 2), playing: false, mosaic: false, overlay: true, filled: false,
    opacity: 0.85, shown: { LV: true, MYO: true, RV: true }, ...window0, ...zoom0,
  };
  const curvesShown = { LV: true, MYO: false, RV: data.curve.series[2].points.some(Boolean) };
  const MOST_ZOOM = 8, ZOOM_STEP = 1.5;
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  // Words.

  const mark = (phase) => (phase === data.ed ? " ED" : phase === data.es && phases > 1 ? " ES" : "");
  const timeOf = (phase) => (times.length ? `${Math.round(times[phase])} ms` : "");
  const plainPhase = (phase) => [`${phase + 1} of ${phases}`, timeOf(phase)].filter(Boolean).join(" · ");
  const phaseWords = (phase) => plainPhase(phase) + mark(phase);
  const sliceWords = (slice) => {
    const place = data.dz === null ? "" : ` · ${Math.round(slice * data.dz)} mm`;
    const end = count === 1 ? "" : slice === 0 ? " (base)" : slice === count - 1 ? " (apex)" : "";
    return `${slice + 1} of ${count}${place}${end}`;
  };
  const intensity = (grey) => (grey * (data.high - data.low)) / 255;
  const short = (value) => value.toFixed(Math.abs(value) < 10 ? 2 : 0);

  function say() {
    const level = short(data.low + intensity(view.level)), width = short(intensity(view.width));
    const slice = `${view.slice + 1}/${count}`, phase = `${view.phase + 1}/${phases}${mark(view.phase)}`;
    saySlider("phase", view.phase + 1, phaseWords(view.phase));
    saySlider("slice", view.slice + 1, sliceWords(view.slice));
    saySlider("level", view.level, level);
    saySlider("width", view.width, width);
    saySlider("opacity", 100 * view.opacity, `${Math.round(100 * view.opacity)} %`);
    $("corner-left").textContent = view.mosaic ? "" : `Slice ${slice}\nz = ${data.z[view.slice]} in the file`;
    $("corner-low").textContent = view.mosaic ? "" : `W ${width}  L ${level}`;
    const when = [`Phase ${phase}`, timeOf(view.phase), `frame ${view.phase} in the file`].filter(Boolean);
    $("corner-right").textContent = when.join(view.mosaic ? " · " : "\n");
    stage.classList.toggle("mosaic", view.mosaic);
    stage.classList.toggle("zoomed", view.zoom > 1 && !view.mosaic);
    $("zoom-out").disabled = view.zoom <= 1;
    $("zoom-in").disabled = view.zoom >= MOST_ZOOM;
    canvas.setAttribute("aria-label", `${view.mosaic ? "All slices" : `Slice ${slice}`}, phase ${phase}`);
    $("play-word").textContent = view.playing ? "Pause" : "Play";
    $("play-icon").setAttribute("d", view.playing ? "M3 1.5h3.5v13H3zM9.5 1.5H13v13H9.5z" : "M3 1.5v13l11-6.5z");
    $("overlay").setAttribute("aria-pressed", view.overlay);
    $("mosaic").setAttribute("aria-pressed", view.mosaic);
    $("filled").checked = view.filled;
  }

  function saySlider(id, value, words) {
    $(id).value = value;
    $(id).setAttribute("aria-valuetext", words);
    if ($(`${id}-said`)) $(`${id}-said`).textContent = words;
  }

  // One state, drawn once per frame of the screen.

  const slices = makeSlices(data);
  const curve = makeCurve(data, { phase: () => view.phase, go, words: phaseWords, shown: curvesShown });
  let asked = false, boxes = [], begun = 0, beganAt = 0;

  function set(change) {
    Object.assign(view, change);
    view.phase = ((view.phase % phases) + phases) % phases;
    view.slice = clamp(view.slice, 0, count - 1);
    view.level = clamp(view.level, 0, 255);
    view.width = clamp(view.width, 2, 400);
    view.zoom = clamp(view.zoom, 1, MOST_ZOOM);
    if (!asked) requestAnimationFrame(redraw);
    asked = true;
  }

  function redraw() {
    asked = false;
    const ratio = window.devicePixelRatio || 1;
    const w = Math.round(stage.clientWidth * ratio), h = Math.round(stage.clientHeight * ratio);
    if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
    if (slices.has(view.phase) && w && h) {
      boxes = slices.draw(canvas, view.phase, view.mosaic ? every : [view.slice], view, ratio);
    }
    say();
    curve.move();
  }

  function play(playing) {
    set({ playing: playing && phases > 1 });
    beganAt = view.phase;
    begun = performance.now();
    if (view.playing) requestAnimationFrame(step);
  }

  function step(now) {
    if (!view.playing) return;
    const passed = (Math.max(0, now - begun) * Number($("speed").value)) / data.step_ms;
    const phase = (beganAt + Math.floor(passed)) % phases;
    if (phase !== view.phase) set({ phase });
    requestAnimationFrame(step);
  }

  function go(phase) {
    play(false);
    set({ phase });
  }

  /** Zooms by a factor; the point of the slice that lies under a point of the canvas stays there. */
  function zoom(factor, px = canvas.width / 2, py = canvas.height / 2) {
    const [box] = boxes, next = clamp(view.zoom * factor, 1, MOST_ZOOM), grow = next / view.zoom;
    if (!box) return;
    const x = px - (px - box.x) * grow, y = py - (py - box.y) * grow;
    set({ zoom: next, mosaic: false, ...middle(x, y, box.wide * grow, box.tall * grow) });
  }

  const middle = (x, y, wide, tall) => ({
    x: clamp((canvas.width / 2 - x) / wide, 0, 1), y: clamp((canvas.height / 2 - y) / tall, 0, 1),
  });

  function onCanvas(event) {
    const place = stage.getBoundingClientRect(), ratio = canvas.width / place.width;
    return [(event.clientX - place.left) * ratio, (event.clientY - place.top) * ratio];
  }

  // Mouse and fingers on the image.

  let held = null, turned = 0;

  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const pans = view.zoom > 1 && !view.mosaic && (event.shiftKey || event.pointerType === "touch");
    held = { ...view, left: event.clientX, top: event.clientY, moved: false, pans, box: boxes[0] };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!held) return;
    const dx = event.clientX - held.left, dy = event.clientY - held.top;
    held.moved ||= Math.hypot(dx, dy) > 4;
    if (!held.moved) return;
    if (held.pans) {
      const { x, y, wide, tall } = held.box, ratio = canvas.width / stage.clientWidth;
      set(middle(x + dx * ratio, y + dy * ratio, wide, tall));
    } else if (event.pointerType === "touch") go(held.phase + Math.round((dx / stage.clientWidth) * phases));
    else set({ width: held.width + dx / 2, level: held.level + dy / 2 });
  });
  stage.addEventListener("pointerup", (event) => {
    if (held && !held.moved && view.mosaic) pick(event);
    held = null;
  });
  stage.addEventListener("pointercancel", () => (held = null));

  function pick(event) {
    const [x, y] = onCanvas(event);
    const box = boxes.find((b) => x >= b.x && x < b.x + b.wide && y >= b.y && y < b.y + b.tall);
    if (box) set({ slice: box.slice, mosaic: false });
  }

  stage.addEventListener("wheel", (event) => {
    if (view.mosaic) return;
    if (event.ctrlKey) {
      event.preventDefault();
      zoom(ZOOM_STEP ** clamp(-event.deltaY / 100, -1, 1), ...onCanvas(event));
      return;
    }
    turned = turned * event.deltaY > 0 ? turned + event.deltaY : event.deltaY;
    const slice = clamp(view.slice + Math.sign(turned), 0, count - 1);
    if (slice === view.slice) return; // at an end the page scrolls on
    event.preventDefault();
    if (Math.abs(turned) < (event.deltaMode ? 1 : 40)) return;
    turned = 0;
    set({ slice });
  }, { passive: false });

  // Keys and controls.

  const actions = {
    ArrowLeft: () => go(view.phase - 1), ArrowRight: () => go(view.phase + 1),
    ArrowUp: () => set({ slice: view.slice - 1 }), ArrowDown: () => set({ slice: view.slice + 1 }),
    " ": () => play(!view.playing), d: () => go(data.ed), s: () => go(data.es),
    o: () => set({ overlay: !view.overlay }), f: () => set({ filled: !view.filled, overlay: true }),
    m: () => set({ mosaic: !view.mosaic }), r: () => set({ ...window0, ...zoom0 }),
    "+": () => zoom(ZOOM_STEP), "-": () => zoom(1 / ZOOM_STEP), "?": () => $("help").showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
    const control = event.target.closest("input, select, button, summary, a");
    if (control && (event.key.startsWith("Arrow") || event.key === " ")) return; // it takes these itself
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  const clicks = { play: " ", "go-ed": "d", "go-es": "s", mosaic: "m", overlay: "o", reset: "r", "help-button": "?",
    "zoom-in": "+", "zoom-out": "-" };
  for (const [id, key] of Object.entries(clicks)) $(id).addEventListener("click", actions[key]);
  const inputs = {
    phase: (value) => go(value - 1), slice: (value) => set({ slice: value - 1 }),
    opacity: (value) => set({ opacity: value / 100, overlay: true }),
    level: (value) => set({ level: value }), width: (value) => set({ width: value }),
  };
  for (const [id, act] of Object.entries(inputs)) $(id).addEventListener("input", () => act(Number($(id).value)));
  $("filled").addEventListener("change", actions.f);
  $("speed").addEventListener("change", () => play(view.playing));

  // A click on a check or an end slice, or on its button, goes to where it shows; a click that selects text does not.

  for (const button of document.querySelectorAll(".go")) {
    button.closest("li, td").addEventListener("click", () => {
      if (!getSelection().isCollapsed) return;
      const { slice, frame } = button.dataset;
      play(false);
      set({
        mosaic: false, overlay: true, phase: frame === undefined ? view.phase : Number(frame),
        slice: slice === undefined ? view.slice : data.z.indexOf(Number(slice)),
      });
      stage.scrollIntoView({ block: "nearest" });
    });
  }

  /** Buttons that show and hide structures, each with its colour. */
  function addKeys(place, shown, changed) {
    for (const { name, colour } of structures) {
      const button = document.createElement("button"), patch = document.createElement("i");
      button.type = "button";
      patch.style.background = colour;
      button.append(patch, name);
      button.setAttribute("aria-pressed", shown[name]);
      button.addEventListener("click", () => {
        shown[name] = !shown[name];
        button.setAttribute("aria-pressed", shown[name]);
        changed();
      });
      place.append(button);
    }
  }

  // Paper.

  let opened = [];

  function drawPrints() {
    drawPrint("print-ed", "End-diastole", data.ed);
    if (phases > 1) drawPrint("print-es", "End-systole", data.es);
  }

  function drawPrint(id, name, phase) {
    const columns = Math.min(count, 6), wide = 1500;
    const tall = Math.ceil((wide / columns / data.aspect) * Math.ceil(count / columns));
    if ($(id).width !== wide || $(id).height !== tall) Object.assign($(id), { width: wide, height: tall });
    if (slices.has(phase)) slices.draw($(id), phase, every, { ...view, ...zoom0 }, 2);
    $(`${id}-said`).textContent = `${name}: phase ${plainPhase(phase)}; all slices, base first.`;
  }

  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const part of opened) part.open = true;
    drawPrints();
    curve.draw(860, 180);
  });
  addEventListener("afterprint", () => {
    for (const part of opened) part.open = false;
    curve.draw();
  });

  async function begin() {
    $("phase").max = phases;
    $("slice").max = count;
    for (const id of ["phase", "play", "go-es"]) $(id).disabled = phases < 2;
    for (const id of ["slice", "mosaic"]) $(id).disabled = count < 2;
    $("no-curve").hidden = phases > 1;
    for (const id of ["curve", "curve-said", "series"]) $(id).toggleAttribute("hidden", phases < 2);
    addKeys($("structures"), view.shown, () => set({ overlay: true }));
    addKeys($("series"), curvesShown, () => curve.draw());
    new ResizeObserver(() => set({})).observe(stage);
    await Promise.all([slices.unpackMask(), slices.unpackPhase(data.ed)]);
    for (const phase of [data.es, ...data.strips.keys()]) {
      set({});
      if (!slices.has(phase)) await slices.unpackPhase(phase);
    }
    drawPrints(); // a canvas that gets its size while the page is being printed is printed too small
    document.documentElement.dataset.ready = "true";
  }

  begin().catch((error) => {
    $("corner-low").textContent = "The images cannot be shown; a newer browser is needed.";
    console.error(error);
  });
})();
