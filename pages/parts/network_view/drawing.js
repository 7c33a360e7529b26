// What is drawn of each block, in a theme's colours; one file with network_view.js when it is served.

function drawLinks(context, blocks, looks, lit) {
  blocks.slice(1).forEach((block, place) => {
    const before = blocks[place];
    const links = block.links ?? [];
    for (const [source, target, share] of [...links].reverse()) {
      if (!before.from || !block.units[target] || (before.units.length && !before.units[source])) continue;
      const touches = lit && ((lit[0] === place + 1 && lit[1] === target) || (lit[0] === place && lit[1] === source));
      // A convolution looks at a whole picture, a dense unit at its pixels.
      const start = before.kind === "picture" && block.kind === "maps" ? before.to : before.from(source);
      const [end, strength] = [middle(block.into?.(target) ?? block.units[target], 0), Math.abs(share) / 127];
      const edge = before.edge ?? start.x; // of what is known at the end of a series the lines run along its last row
      const bend = ((before.kind === "picture" ? before.to.x : edge) + end.x) / 2;
      context.globalAlpha = lit ? (touches ? 0.95 : 0.05) : 0.08 + 0.62 * strength ** 1.5;
      context.strokeStyle = share < 0 ? looks.negative : looks.positive;
      context.lineWidth = 0.5 + 2.5 * strength;
      context.beginPath();
      context.moveTo(start.x, start.y);
      context.lineTo(edge, start.y);
      context.bezierCurveTo(bend, start.y, bend, end.y, end.x, end.y);
      context.stroke();
    }
  });
  context.globalAlpha = 1;
}

function drawBlock(context, block, looks, net) {
  const { box, head, spread } = block;
  context.textAlign = "center";
  context.textBaseline = "middle";
  head.forEach((words, line) => {
    context.fillStyle = line ? looks.quiet : looks.text;
    context.fillText(fitted(context, words, box.w + spread), box.x + box.w / 2, 8 + line * 15);
  });
  if (block.kind === "answer") return drawAnswer(context, block, looks, net);
  if (block.kind === "picture") return drawPicture(context, block, looks);
  const values = bytes(block.data);
  if (block.kind === "states") {
    const [rows, columns] = block.shape;
    image(context, paint(values, 0, columns, rows, looks), block.area, false);
    return outline(context, block.area, looks.line, 1);
  }
  const map = block.plane && bytes(block.plane);
  const [height, width] = block.plane ? block.places : block.shape.slice(1);
  block.units.forEach((unit, number) => {
    if (block.plane && width === undefined) drawCurve(context, map, number * height, height, unit, looks);
    else if (block.plane) image(context, paint(map, number * width * height, width, height, looks, true), unit, true);
    else if (block.kind === "maps") image(context, paint(values, number * width * height, width, height, looks), unit, false);
    else {
      context.fillStyle = `rgb(${looks.ramp.slice(values[number] * 3, values[number] * 3 + 3)})`;
      context.fillRect(unit.x, unit.y, unit.w, unit.h);
    }
    if (unit.w > 5) outline(context, unit, looks.line, 1);
    if (block.labels) {
      context.fillStyle = looks.quiet;
      context.fillText(fitted(context, block.labels[number], unit.w + spread), unit.x + unit.w / 2, unit.y + unit.h + 9);
    }
  });
}

function drawPicture(context, { shape, data, area }, looks) {
  const [channels, height, width] = shape;
  const values = bytes(data);
  const pixels = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = values[i * channels + Math.min(c, channels - 1)];
    pixels.data[4 * i + 3] = 255;
  }
  context.globalAlpha = 0.92; // the lines that begin at its pixels shine through
  image(context, pixels, area, false);
  context.globalAlpha = 1;
  outline(context, area, looks.line, 1);
}

function drawAnswer(context, block, looks, net) {
  const { area, units } = block;
  if (area && block.places) {
    const [height, width] = block.places;
    image(context, paint(bytes(block.plane), 0, width, height, looks, true), area, true);
  }
  if (area) drawDots(context, block, looks, net);
  units.forEach((row, i) => {
    const y = row.y + row.h / 2;
    const right = i === block.right;
    context.fillStyle = looks.text;
    context.textBaseline = "middle";
    context.font = `${right ? "600 " : ""}${SMALL}px ${looks.font}`;
    if (!block.classes) {
      context.textAlign = "center";
      return context.fillText(fitted(context, `${block.names[i]} = ${block.words[i]}`, row.w), row.x + row.w / 2, y);
    }
    context.textAlign = "right";
    context.fillText(fitted(context, block.names[i], block.label - 6), row.x + block.label, y);
    const [left, end, high] = [row.x + block.label + 16, row.x + row.w - 34, Math.min(12, row.h - 3)];
    if (right) context.fillText("✓", left - 3, y);
    context.fillText(block.words[i], row.x + row.w, y);
    context.fillStyle = looks.line;
    context.fillRect(left, y - high / 2, end - left, high);
    context.fillStyle = right ? looks.accent : looks.quiet;
    context.fillRect(left, y - high / 2, Math.max(0, end - left) * Math.max(0, Math.min(1, block.shares[i])), high);
  });
  context.font = `${SMALL}px ${looks.font}`;
}

// The training samples and, as a ring, the one that is looked at.
function drawDots(context, { area, curve, classes, places }, looks, { axes, span, dots }) {
  const inner = { x: area.x + 0.5, y: area.y + 0.5, w: area.w - 1, h: area.h - 1 };
  const flat = axes.length === 1;
  const [low, high] = flat ? span : axes[1];
  const across = (value) => inner.x + ((value - axes[0][0]) / (axes[0][1] - axes[0][0])) * inner.w;
  const up = (value) => inner.y + (1 - (value - low) / (high - low)) * inner.h;
  context.save();
  context.beginPath();
  context.rect(area.x, area.y, area.w, area.h);
  context.clip();
  if (curve) {
    context.beginPath();
    curve.forEach((value, i) => context.lineTo(inner.x + (i / (curve.length - 1)) * inner.w, up(value)));
    context.strokeStyle = looks.positive;
    context.lineWidth = 2;
    context.stroke();
  }
  dots.forEach((dot, i) => {
    const own = i === dots.length - 1;
    context.beginPath();
    context.arc(across(dot[0]), up(flat ? dot.at(-1) : dot[1]), own ? 5 : 2.25, 0, 7);
    context.fillStyle = !classes ? looks.quiet : dot.at(-1) ? looks.positive : looks.negative;
    if (!own) context.fill();
    context.strokeStyle = own ? looks.text : looks.ground;
    context.lineWidth = own ? 2 : 0.75;
    context.stroke();
  });
  context.restore();
  outline(context, area, looks.line, 1);
}

function drawCurve(context, values, start, length, unit, looks) {
  context.fillStyle = looks.zero;
  context.fillRect(unit.x, unit.y, unit.w, unit.h);
  context.beginPath();
  for (let i = 0; i < length; i++)
    context.lineTo(unit.x + (i / (length - 1)) * unit.w, unit.y + unit.h * (0.5 - ((values[start + i] - 128) / 127) * 0.45));
  context.strokeStyle = looks.positive;
  context.lineWidth = 1.5;
  context.stroke();
}

// --- Small things

const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

// Signed bytes as colours; `flip` where rows go upwards.
function paint(values, start, width, height, { ramp }, flip = false) {
  const pixels = new ImageData(width, height);
  for (let row = 0; row < height; row++)
    for (let column = 0; column < width; column++) {
      const value = values[start + (flip ? height - 1 - row : row) * width + column];
      pixels.data.set([ramp[value * 3], ramp[value * 3 + 1], ramp[value * 3 + 2], 255], (row * width + column) * 4);
    }
  return pixels;
}

const sheet = new OffscreenCanvas(1, 1);
function image(context, pixels, { x, y, w, h }, smooth) {
  [sheet.width, sheet.height] = [pixels.width, pixels.height];
  sheet.getContext("2d").putImageData(pixels, 0, 0);
  context.imageSmoothingEnabled = smooth;
  context.drawImage(sheet, x, y, w, h);
}

function outline(context, { x, y, w, h }, colour, width) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.strokeRect(x, y, w, h);
}

function fitted(context, words, width) {
  const fits = (part) => context.measureText(part).width <= width;
  while (!fits(words) && words.includes(" · ")) words = words.slice(0, words.lastIndexOf(" · "));
  if (fits(words)) return words;
  let letters = words.length;
  while (letters > 1 && !fits(`${words.slice(0, letters)}…`)) letters--;
  return letters > 1 ? `${words.slice(0, letters).trimEnd()}…` : "";
}

// Blue is positive and orange negative, safe for colour-blind eyes; zero is nearly the ground.
function themed(style, context) {
  const colour = (name) => {
    context.fillStyle = style.getPropertyValue(name).trim() || "#808080";
    return [1, 3, 5].map((at) => parseInt(context.fillStyle.slice(at, at + 2), 16));
  };
  const [ground, text] = [colour("--st-background-color"), colour("--st-text-color")];
  const dark = ground[0] + ground[1] + ground[2] < 384;
  const [positive, negative] = dark ? [[86, 170, 240], [240, 165, 50]] : [[0, 105, 180], [225, 140, 0]];
  const mix = (one, other, share) => one.map((part, i) => Math.round(part + (other[i] - part) * share));
  const css = (parts) => `rgb(${parts})`;
  const zero = mix(ground, text, 0.05);
  const ramp = new Uint8ClampedArray(256 * 3);
  for (let value = 0; value < 256; value++)
    ramp.set(mix(zero, value < 128 ? negative : positive, Math.min(1, Math.abs(value - 128) / 127) ** 0.8), value * 3);
  return {
    ramp, ground: css(ground), text: css(text), zero: css(zero), positive: css(positive), negative: css(negative),
    quiet: css(mix(ground, text, 0.6)), line: css(mix(ground, text, 0.16)), accent: css(colour("--st-primary-color")),
    font: style.fontFamily,
  };
}
