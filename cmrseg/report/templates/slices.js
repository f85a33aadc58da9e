/** The images of the study with their mask: unpacked one phase at a time, drawn as one slice or as all of them. */
function makeSlices(data) {
  const { width, height, mask_width: maskWidth, mask_height: maskHeight, structures } = data;
  const [LV, MYO, RV] = structures;
  const greys = []; // of a phase: one Uint8Array per slice, base first
  const sheet = canvasOf(width, height);
  const pixels = sheet.context.createImageData(width, height);
  const words = new Uint32Array(pixels.data.buffer);
  const shades = new Uint32Array(256); // grey -> opaque pixel
  let outline = null;

  return { unpackMask, unpackPhase, has: (phase) => phase in greys, draw, forget: (...at) => outline.forget(...at) };

  function canvasOf(w, h) {
    const element = document.createElement("canvas");
    Object.assign(element, { width: w, height: h });
    return { element, context: element.getContext("2d", { willReadFrequently: true }) };
  }

  async function unpackMask() {
    const packed = Uint8Array.from(atob(data.mask), (character) => character.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const labels = new Uint8Array(await new Response(stream).arrayBuffer());
    outline = makeOutlines(labels, data);
    return labels;
  }

  async function unpackPhase(phase) {
    const strip = new Image();
    strip.src = "data:image/jpeg;base64," + data.strips[phase];
    await strip.decode();
    const { context } = canvasOf(width, height);
    greys[phase] = data.z.map((_, slice) => {
      context.drawImage(strip, 0, slice * height, width, height, 0, 0, width, height);
      const rgba = context.getImageData(0, 0, width, height).data;
      return Uint8Array.from({ length: width * height }, (_, i) => rgba[4 * i]);
    });
    data.strips[phase] = null;
  }

  /** Draws slices of a phase and says where each of them lies; `ratio` is the size of a CSS pixel. */
  function draw(canvas, phase, shown, look, ratio) {
    const context = canvas.getContext("2d");
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    fillShades(look);
    const boxes = tiling(canvas.width, canvas.height, shown);
    if (shown.length === 1 && look.zoom > 1) enlarge(boxes[0], canvas, look);
    for (const box of boxes) {
      drawImage(context, phase, box);
      if (look.overlay && outline) drawMask(context, phase, box, look, ratio);
      if (shown.length > 1) drawNumber(context, box, ratio);
    }
    return boxes;
  }

  function fillShades({ level, width: wide }) {
    const black = level - wide / 2;
    for (let grey = 0; grey < 256; grey++) {
      const shade = Math.min(255, Math.max(0, Math.round((255 * (grey - black)) / wide)));
      shades[grey] = (0xff000000 | (shade * 0x10101)) >>> 0;
    }
  }

  /** One slice as large as it fits, or all of them in the number of columns that leaves them largest. */
  function tiling(w, h, shown) {
    let best = { tall: 0 };
    for (let columns = 1; columns <= shown.length; columns++) {
      const rows = Math.ceil(shown.length / columns);
      const tall = Math.min(w / columns / data.aspect, h / rows);
      if (tall > best.tall) best = { columns, rows, tall };
    }
    const { columns, rows, tall } = best, wide = tall * data.aspect;
    const left = (w - columns * wide) / 2, top = (h - rows * tall) / 2;
    return shown.map((slice, i) => ({
      slice, x: left + (i % columns) * wide, y: top + Math.floor(i / columns) * tall, wide, tall,
    }));
  }

  /** The slice larger than the canvas, whose middle shows a point of it; its edges do not come inside. */
  function enlarge(box, canvas, look) {
    const wide = box.wide * look.zoom, tall = box.tall * look.zoom;
    const at = (size, length, part) => (
      length <= size ? (size - length) / 2 : Math.min(0, Math.max(size - length, size / 2 - part * length))
    );
    Object.assign(box, { x: at(canvas.width, wide, look.x), y: at(canvas.height, tall, look.y), wide, tall });
  }

  function drawImage(context, phase, box) {
    const grey = greys[phase][box.slice];
    for (let i = 0; i < grey.length; i++) words[i] = shades[grey[i]];
    sheet.context.putImageData(pixels, 0, 0);
    context.imageSmoothingQuality = "high";
    context.drawImage(sheet.element, box.x, box.y, box.wide, box.tall);
  }

  function drawMask(context, phase, box, look, ratio) {
    context.save();
    context.beginPath();
    context.rect(box.x, box.y, box.wide, box.tall);
    context.clip();
    context.translate(box.x, box.y);
    context.scale(box.wide / maskWidth, box.tall / maskHeight);
    context.lineWidth = (1.7 * ratio * maskHeight) / box.tall;
    const cavity = outline(phase, box.slice, [LV.id]);
    const wall = outline(phase, box.slice, [LV.id, MYO.id]); // its inner line is that of the cavity
    const lines = [[MYO, wall, cavity], [RV, outline(phase, box.slice, [RV.id])], [LV, cavity]];
    for (const [structure, path, hole] of lines) {
      if (look.shown[structure.name]) drawStructure(context, structure.colour, path, hole, look);
    }
    context.restore();
  }

  function drawStructure(context, colour, path, hole, look) {
    context.strokeStyle = context.fillStyle = colour;
    if (look.filled) {
      const area = new Path2D(path);
      if (hole) area.addPath(hole);
      context.globalAlpha = 0.5 * look.opacity;
      context.fill(area, "evenodd");
    }
    context.globalAlpha = look.opacity;
    context.stroke(path);
  }

  function drawNumber(context, box, ratio) {
    context.font = `${12 * ratio}px system-ui, sans-serif`;
    context.fillStyle = "#fff";
    context.shadowColor = "#000";
    context.shadowBlur = 3 * ratio;
    context.fillText(`${box.slice + 1}  z ${data.z[box.slice]}`, box.x + 6 * ratio, box.y + 16 * ratio);
    context.shadowBlur = 0;
  }
}
