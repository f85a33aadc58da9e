"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const { phases, structures, mask_width: wide, mask_height: tall, z } = data;
  const count = z.length, area = wide * tall;
  const stage = $("stage"), canvas = $("canvas"), slices = makeSlices(data);
  const first = new Map(data.now.numbers.map((row) => [row.quantity, row]));
  const view = {
    phase: data.now.ed, slice: Math.floor(count / 2), overlay: true, filled: false, opacity: 0.9,
    shown: { LV: true, MYO: true, RV: true }, tool: "brush", structure: structures[0].id, size: 7,
    level: (data.window[0] + data.window[1]) / 2, width: Math.max(2, data.window[1] - data.window[0]),
    ...data.start,
  };
  let now = data.now, marks = { ...now.marks };
  let labels = null, box = null, pointer = null, asked = false, saving = false, lost = false;
  const MOST_ZOOM = 12, ZOOM_STEP = 1.5, MOST_STEPS = 300;
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const end = (name) => marks[name] ?? now[name];

  // Steps that can be undone: the image before and after each.

  const done = [], undone = [];
  let saved = null; // the last step that is saved

  const image = (phase, slice) => {
    const start = (phase * count + slice) * area;
    return labels.subarray(start, start + area);
  };

  function put(phase, slice, pixels) {
    image(phase, slice).set(pixels);
    slices.forget(phase, slice);
    set({});
  }

  /** A step from an image as it was to one as it is. */
  function keep(phase, slice, before) {
    const after = image(phase, slice).slice();
    if (after.every((label, i) => label === before[i])) return;
    done.push({ phase, slice, before, after });
    if (done.length > MOST_STEPS) done.shift();
    undone.length = 0;
    set({});
  }

  function travel(from, to, which) {
    const step = from.pop();
    if (!step || held) return;
    to.push(step);
    put(step.phase, step.slice, step[which]);
    set({ phase: step.phase, slice: step.slice });
  }

  const undo = () => travel(done, undone, "before"), redo = () => travel(undone, done, "after");
  const marked = () => ["ed", "es"].some((name) => marks[name] !== now.marks[name]);
  const isChanged = () => (done.at(-1) ?? null) !== saved || marked();

  // Tools.

  /** Paints or erases discs on the way from one point to another, in pixels of the mask. */
  function paint(pixels, [x0, y0], [x1, y1]) {
    const steps = Math.max(1, Math.ceil(2 * Math.hypot(x1 - x0, y1 - y0)));
    for (let i = 0; i <= steps; i++) disc(pixels, x0 + ((x1 - x0) * i) / steps, y0 + ((y1 - y0) * i) / steps);
  }

  function disc(pixels, x, y) {
    const r = view.size / 2, { structure } = view, erases = view.tool === "eraser";
    const near = (px, py) => Math.hypot(px + 0.5 - x, py + 0.5 - y) <= r;
    const set1 = (i) => {
      if (!erases) pixels[i] = structure;
      else if (pixels[i] === structure) pixels[i] = 0;
    };
    for (let py = Math.max(0, Math.floor(y - r)); py < Math.min(tall, y + r); py++) {
      for (let px = Math.max(0, Math.floor(x - r)); px < Math.min(wide, x + r); px++) {
        if (near(px, py)) set1(py * wide + px);
      }
    }
    const px = Math.floor(x), py = Math.floor(y); // however small, the pixel below the pointer
    if (px >= 0 && py >= 0 && px < wide && py < tall) set1(py * wide + px);
  }

  /**
   * Drags everything below the pointer along, less towards the rim: where each pixel comes from is kept as a
   * field of displacements from the beginning of the stroke, so that slow and fast hands do the same.
   */
  function push(pixels, stroke, [x0, y0], [x1, y1]) {
    const r = Math.max(2, view.size), steps = Math.max(1, Math.ceil((4 * Math.hypot(x1 - x0, y1 - y0)) / r));
    const dx = (x1 - x0) / steps, dy = (y1 - y0) / steps;
    for (let i = 1; i <= steps; i++) shift(stroke, x0 + dx * i, y0 + dy * i, dx, dy, r);
    const { fieldX, fieldY, before } = stroke;
    for (let i = 0; i < area; i++) {
      if (!fieldX[i] && !fieldY[i]) pixels[i] = before[i];
      else {
        const x = clamp(Math.round((i % wide) - fieldX[i]), 0, wide - 1);
        const y = clamp(Math.round(Math.floor(i / wide) - fieldY[i]), 0, tall - 1);
        pixels[i] = before[y * wide + x];
      }
    }
  }

  function shift(stroke, x, y, dx, dy, r) {
    const { fieldX, fieldY } = stroke, changed = [];
    for (let py = Math.max(0, Math.floor(y - r)); py < Math.min(tall, y + r); py++) {
      for (let px = Math.max(0, Math.floor(x - r)); px < Math.min(wide, x + r); px++) {
        const part = 1 - ((px + 0.5 - x) ** 2 + (py + 0.5 - y) ** 2) / r ** 2;
        if (part <= 0) continue;
        const w = part * part * (3 - 2 * part), sx = px - w * dx, sy = py - w * dy;
        changed.push([py * wide + px, between(fieldX, sx, sy) + w * dx, between(fieldY, sx, sy) + w * dy]);
      }
    }
    for (const [i, fx, fy] of changed) [fieldX[i], fieldY[i]] = [fx, fy];
  }

  function between(field, x, y) {
    const x0 = clamp(Math.floor(x), 0, wide - 2), y0 = clamp(Math.floor(y), 0, tall - 2);
    const u = clamp(x - x0, 0, 1), v = clamp(y - y0, 0, 1), i = y0 * wide + x0;
    return (1 - v) * ((1 - u) * field[i] + u * field[i + 1]) + v * ((1 - u) * field[i + wide] + u * field[i + wide + 1]);
  }

  function copy(what, by) {
    const from = { phase: view.phase, slice: view.slice };
    from[what] += by;
    if (what === "phase") from.phase = (from.phase + phases) % phases;
    if (from.slice < 0 || from.slice >= count || held) return;
    const before = image(view.phase, view.slice).slice();
    put(view.phase, view.slice, image(from.phase, from.slice));
    keep(view.phase, view.slice, before);
  }

  // One state, drawn once per frame of the screen.

  function set(change) {
    Object.assign(view, change);
    view.phase = ((view.phase % phases) + phases) % phases;
    view.slice = clamp(view.slice, 0, count - 1);
    view.size = clamp(view.size, 1, 40);
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
      [box] = slices.draw(canvas, view.phase, [view.slice], view, ratio);
      if (pointer && view.tool !== "move") drawPointer(ratio);
    }
    say();
  }

  function drawPointer(ratio) {
    const context = canvas.getContext("2d"), [x, y] = pointer, scale = box.wide / wide;
    const r = (view.tool === "push" ? Math.max(2, view.size) : view.size / 2) * scale;
    const colour = structures.find(({ id }) => id === view.structure).colour;
    context.lineWidth = 1.5 * ratio;
    context.strokeStyle = view.tool === "brush" ? colour : "#fff";
    context.setLineDash(view.tool === "eraser" ? [4 * ratio, 3 * ratio] : []);
    context.beginPath();
    context.arc(box.x + x * scale, box.y + (y * box.tall) / tall, Math.max(r, ratio), 0, 2 * Math.PI);
    context.stroke();
    context.setLineDash([]);
  }

  // Words.

  const isEnd = (phase) => (phase === end("ed") ? " ED" : phase === end("es") ? " ES" : "");
  const timeOf = (phase) => (data.times.length === phases ? ` · ${Math.round(data.times[phase])} ms` : "");

  function say() {
    const phase = `${view.phase + 1} of ${phases}${timeOf(view.phase)}${isEnd(view.phase)}`;
    const place = count === 1 ? "" : view.slice === 0 ? " (base)" : view.slice === count - 1 ? " (apex)" : "";
    saySlider("phase", view.phase + 1, phase);
    saySlider("slice", view.slice + 1, `${view.slice + 1} of ${count}${place}`);
    for (const id of ["level", "width", "size"]) $(id).value = view[id];
    $("size-said").textContent = `${view.size} px`;
    $("corner-left").textContent = `Slice ${view.slice + 1}/${count}\nz = ${z[view.slice]} in the file`;
    $("corner-right").textContent = `Phase ${view.phase + 1}/${phases}${isEnd(view.phase)}\nframe ${view.phase} in the file`;
    canvas.setAttribute("aria-label", `Slice ${view.slice + 1} of ${count}, phase ${phase}`);
    stage.dataset.tool = view.tool;
    for (const button of document.querySelectorAll("[data-tool]"))
      if (button !== stage) button.setAttribute("aria-pressed", button.dataset.tool === view.tool);
    for (const button of $("structures").children)
      button.setAttribute("aria-checked", Number(button.dataset.id) === view.structure);
    $("overlay").setAttribute("aria-pressed", view.overlay);
    $("filled").checked = view.filled;
    $("undo").disabled = !done.length;
    $("redo").disabled = !undone.length;
    for (const name of ["ed", "es"]) {
      $(`${name}-said`).textContent = `phase ${end(name) + 1}${marks[name] === null ? "" : ", marked"}`;
      $(`mark-${name}`).setAttribute("aria-pressed", marks[name] === view.phase);
      $(`mark-${name}`).disabled = phases < 2;
    }
    $("save").disabled = saving || lost || !labels || !(isChanged() || !now.reviewed);
    $("save").textContent = saving ? "Saving and measuring …" : isChanged() || now.reviewed ? "Save and measure" : "Accept as it is";
    $("numbers-of").textContent = isChanged() ? "(of the mask that is saved)" : "";
  }

  function saySlider(id, value, words) {
    $(id).value = value;
    $(id).setAttribute("aria-valuetext", words);
    $(`${id}-said`).textContent = words;
  }

  function element(name, text, kind = "") {
    const made = document.createElement(name);
    made.textContent = text;
    made.className = kind;
    return made;
  }

  const shown = (value) => (value === null ? "–" : value.toFixed(1).replace("-", "−"));

  function sayNumbers() {
    $("whose").textContent = now.corrected ? "mask corrected by a person" : now.reviewed ? "mask by the model, reviewed" : "mask by the model";
    $("numbers").replaceChildren(...now.numbers.map((row) => {
      const line = document.createElement("tr");
      line.dataset.quantity = row.quantity;
      line.append(element("th", row.quantity), ...["LV", "RV"].map((name) => numberCell(row, name)), element("td", row.unit));
      return line;
    }));
    $("flags").replaceChildren(...now.flags.map(({ level, check, reason }) => {
      const line = element("li", "", level);
      line.append(element("strong", `${check}: `, level), element("span", reason));
      return line;
    }));
    if (!now.flags.length) $("flags").append(element("li", data.levels[now.level], "green"));
    $("notes").replaceChildren(...now.notes.map((note) => element("li", note)));
  }

  function numberCell(row, name) {
    const cell = element("td", shown(row[name]), "number"), before = first.get(row.quantity)?.[name] ?? null;
    const change = row[name] === null || before === null ? 0 : row[name] - before;
    if (Math.abs(change) >= 0.05) {
      cell.append(document.createElement("br"), element("small", (change > 0 ? "+" : "") + shown(change)));
    }
    return cell;
  }

  function tell(sentence, kind = "") {
    $("said").textContent = sentence;
    $("said").className = kind;
  }

  // Saving.

  /** The mask in the order of the file, deflated, as base64. */
  async function packed() {
    const ordered = new Uint8Array(labels.length);
    for (let phase = 0; phase < phases; phase++) {
      for (let slice = 0; slice < count; slice++) ordered.set(image(phase, slice), (phase * count + z[slice]) * area);
    }
    const stream = new Blob([ordered]).stream().pipeThrough(new CompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    let text = "";
    for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
    return btoa(text);
  }

  async function save() {
    if ($("save").disabled || held) return;
    saving = true;
    set({});
    tell("");
    const last = done.at(-1) ?? null, sent = { base: now.version, ed: marks.ed, es: marks.es };
    try {
      const answer = await fetch(location.pathname, {
        method: "POST", headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ ...sent, mask: await packed() }),
      });
      const said = await answer.json();
      if (answer.ok) taken(said, last);
      else {
        lost = answer.status === 409;
        tell(said.error, "red");
      }
    } catch {
      tell("Nobody answers: is `cmrseg review` still running? What you drew is still here.", "red");
    }
    saving = false;
    set({});
  }

  function taken(said, last) {
    now = said;
    saved = last;
    sayNumbers();
    tell("Saved and measured.");
  }

  addEventListener("beforeunload", (event) => {
    if (labels && isChanged() && !lost) event.preventDefault();
  });

  // Mouse, pen and fingers.

  let held = null, turned = 0;

  function onCanvas(event) {
    const place = stage.getBoundingClientRect(), ratio = canvas.width / place.width;
    return [(event.clientX - place.left) * ratio, (event.clientY - place.top) * ratio];
  }

  function onMask(event) {
    const [x, y] = onCanvas(event);
    return [((x - box.x) / box.wide) * wide, ((y - box.y) / box.tall) * tall];
  }

  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !labels || !box || held || saving) return;
    stage.setPointerCapture(event.pointerId);
    const { phase, slice } = view, at = onMask(event);
    if (view.tool === "move" || event.shiftKey) {
      held = { moves: true, start: onCanvas(event), box };
      return;
    }
    held = { phase, slice, at, before: image(phase, slice).slice(), fieldX: new Float32Array(area), fieldY: new Float32Array(area) };
    if (view.tool !== "push") draw(at);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!box) return;
    pointer = onMask(event);
    if (held?.moves) {
      const [x, y] = onCanvas(event), [x0, y0] = held.start;
      set(middle(held.box.x + x - x0, held.box.y + y - y0, held.box.wide, held.box.tall));
    } else if (held) draw(pointer);
    set({});
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    stage.addEventListener(kind, () => {
      const stroke = held;
      held = null;
      if (stroke && !stroke.moves) keep(stroke.phase, stroke.slice, stroke.before);
    });
  }
  stage.addEventListener("pointerleave", () => {
    pointer = null;
    set({});
  });

  function draw(to) {
    const pixels = image(held.phase, held.slice);
    if (view.tool === "push") push(pixels, held, held.at, to);
    else paint(pixels, held.at, to);
    held.at = to;
    slices.forget(held.phase, held.slice);
    set({});
  }

  const middle = (x, y, w, h) => ({
    x: clamp((canvas.width / 2 - x) / w, 0, 1), y: clamp((canvas.height / 2 - y) / h, 0, 1),
  });

  function zoom(factor, px = canvas.width / 2, py = canvas.height / 2) {
    const next = clamp(view.zoom * factor, 1, MOST_ZOOM), grow = next / view.zoom;
    if (!box || held) return;
    const x = px - (px - box.x) * grow, y = py - (py - box.y) * grow;
    set({ zoom: next, ...middle(x, y, box.wide * grow, box.tall * grow) });
  }

  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (held) return;
    if (event.ctrlKey) return zoom(ZOOM_STEP ** clamp(-event.deltaY / 100, -1, 1), ...onCanvas(event));
    turned = turned * event.deltaY > 0 ? turned + event.deltaY : event.deltaY;
    if (Math.abs(turned) < (event.deltaMode ? 1 : 40)) return;
    set({ slice: view.slice + Math.sign(turned) });
    turned = 0;
  }, { passive: false });

  // Keys and controls.

  const mark = (name) => {
    marks[name] = marks[name] === view.phase ? null : view.phase;
    set({});
  };
  const go = (change) => held || set(change);
  const actions = {
    ArrowLeft: () => go({ phase: view.phase - 1 }), ArrowRight: () => go({ phase: view.phase + 1 }),
    ArrowUp: () => go({ slice: view.slice - 1 }), ArrowDown: () => go({ slice: view.slice + 1 }),
    b: () => set({ tool: "brush" }), e: () => set({ tool: "eraser" }), p: () => set({ tool: "push" }),
    v: () => set({ tool: "move" }), "[": () => set({ size: view.size - 1 }), "]": () => set({ size: view.size + 1 }),
    d: () => go({ phase: end("ed") }), s: () => go({ phase: end("es") }),
    o: () => set({ overlay: !view.overlay }), f: () => set({ filled: !view.filled, overlay: true }),
    "+": () => zoom(ZOOM_STEP), "-": () => zoom(1 / ZOOM_STEP), "?": () => $("help").showModal(),
  };
  structures.forEach(({ id }, i) => (actions[i + 1] = () => set({ structure: id })));
  const withControl = { z: (event) => (event.shiftKey ? redo() : undo()), y: redo, s: save };

  document.addEventListener("keydown", (event) => {
    if (event.altKey || $("help").open) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const control = event.target.closest("input, select, summary, a");
    if (control && event.key.startsWith("Arrow")) return; // it takes these itself
    const action = event.ctrlKey || event.metaKey ? withControl[key] : actions[key];
    if (!action) return;
    event.preventDefault();
    action(event);
  });
  const clicks = {
    "go-ed": actions.d, "go-es": actions.s, overlay: actions.o, "zoom-in": actions["+"], "zoom-out": actions["-"],
    "help-button": actions["?"], undo, redo, save, "mark-ed": () => mark("ed"), "mark-es": () => mark("es"),
  };
  for (const [id, act] of Object.entries(clicks)) $(id).addEventListener("click", act);
  const inputs = {
    phase: (value) => go({ phase: value - 1 }), slice: (value) => go({ slice: value - 1 }),
    size: (size) => set({ size }), level: (level) => set({ level }), width: (width) => set({ width }),
  };
  for (const [id, act] of Object.entries(inputs)) $(id).addEventListener("input", () => act(Number($(id).value)));
  $("filled").addEventListener("change", actions.f);
  for (const button of $("tools").children) {
    button.addEventListener("click", () => set({ tool: button.dataset.tool }));
  }
  for (const button of document.querySelectorAll("[data-copy]")) {
    const [what, by] = button.dataset.copy.split(" ");
    button.addEventListener("click", () => copy(what, Number(by)));
  }
  for (const { name, id, colour } of structures) {
    const button = element("button", ""), patch = document.createElement("i");
    Object.assign(button, { type: "button" });
    button.dataset.id = id;
    button.setAttribute("role", "radio");
    patch.style.background = colour;
    button.append(patch, name);
    button.addEventListener("click", () => set({ structure: id }));
    $("structures").append(button);
  }

  async function begin() {
    $("phase").max = phases;
    $("slice").max = count;
    $("phase").disabled = phases < 2;
    $("slice").disabled = count < 2;
    sayNumbers();
    new ResizeObserver(() => set({})).observe(stage);
    labels = (await Promise.all([slices.unpackMask(), slices.unpackPhase(now.ed)]))[0];
    for (const phase of [now.es, ...data.strips.keys()]) {
      set({});
      if (!slices.has(phase)) await slices.unpackPhase(phase);
    }
    document.documentElement.dataset.ready = "true";
  }

  begin().catch((error) => {
    tell("The images cannot be shown; a newer browser is needed.", "red");
    console.error(error);
  });
})();
