// Where everything stands: of the architecture and the room alone; one file with network_view.js when it is served.

function layout(net, width, height, context) {
  const hidden = net.layers;
  const [top, room] = [HEAD, height - HEAD - 8];
  const wide = Math.min(width, 1400);
  const gap = Math.max(12, Math.min(64, (wide * 0.26) / (hidden.length + 1)));
  const many = hidden.length > 2;
  const has = { picture: many ? 0.18 : 0.24, states: 0.16, units: 0.1 };
  const first = Math.min(wide * (hidden.length ? has[net.input.kind] : 0.34), room);
  const last = Math.min(wide * (hidden.length ? (net.answer.places || net.answer.curve ? 0.26 : many ? 0.17 : 0.2) : 0.34), room, 260);
  const weigh = (layer) => (layer.kind === "states" ? 2 : layer.kind === "units" && !layer.plane ? 0.6 : 1);
  const total = hidden.reduce((sum, layer) => sum + weigh(layer), 0);
  const rest = wide - 16 - first - last - gap * (hidden.length + 1);
  let x = 8 + Math.max(0, width - wide) / 2;
  const blocks = [inputBlock(net.input, { x, y: top, w: first, h: room })];
  x += first + gap;
  for (const layer of hidden) {
    const w = (rest * weigh(layer)) / total;
    blocks.push(layerBlock(layer, { x, y: top, w, h: room }, blocks[0]));
    x += w + gap;
  }
  if (!hidden.length) x += Math.max(0, rest);
  blocks.push(answerBlock(net, { x, y: top, w: last, h: room }, context));
  for (const block of blocks) block.spread = gap * 0.8;
  return blocks;
}

// As many columns as make the tiles largest, or nearly so with no row left half empty; of cells no more than make them
// large enough.
function pack(count, box, most, enough = Infinity, below = 0) {
  const space = count > 40 ? 2 : 4;
  let best = { side: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const fits = [(box.w + space) / columns - space, (box.h + space) / rows - space - below, most];
    const side = Math.max(1, Math.min(...fits));
    const fills = rows * columns === count;
    const worth = best.fills === fills ? 1 : fills ? 0.8 : 1.25;
    if (side > best.side * worth + 0.5) best = { side, columns, rows, fills };
    if (best.side >= enough) break;
  }
  const { side, columns, rows } = best;
  const left = box.x + (box.w - columns * (side + space) + space) / 2;
  const top = box.y + (box.h - rows * (side + space + below) + space) / 2;
  return Array.from({ length: count }, (_, i) => ({
    x: left + (i % columns) * (side + space),
    y: top + Math.floor(i / columns) * (side + space + below),
    w: side,
    h: side,
  }));
}

const count = (one) => (one.kind === "states" ? one.shape[1] : one.shape[0]);
const upTo = (length) => Array.from({ length }, (_, i) => i);

function inputBlock(input, box) {
  const block = { ...input, box, head: ["Input", input.shape.join(" × ")], units: [], numbers: [], links: [] };
  if (input.kind === "picture") {
    const [, rows, columns] = input.shape;
    const side = Math.min(box.w, (box.h * columns) / rows);
    block.area = { x: box.x + (box.w - side) / 2, y: box.y + (box.h - (side * rows) / columns) / 2, w: side, h: (side * rows) / columns };
    const [w, h] = [block.area.w / columns, block.area.h / rows];
    block.to = { x: block.area.x + block.area.w, y: block.area.y + block.area.h / 2 };
    block.from = (pixel) => ({ x: block.area.x + ((pixel % columns) + 0.5) * w, y: block.area.y + (Math.floor(pixel / columns) + 0.5) * h });
    return block;
  }
  block.head[1] = `${count(input)} feature${count(input) === 1 ? "" : "s"}`;
  const placed = layerBlock({ ...input, title: "Input", size: block.head[1] }, box, null);
  return { ...placed, say: (unit) => input.words[unit], name: null, labels: input.plane && input.names };
}

function layerBlock(layer, box, input) {
  const block = { ...layer, box, head: [layer.title, layer.size], numbers: upTo(count(layer)) };
  const values = bytes(layer.data);
  const value = (unit) => ((values[unit] - 128) / 127) * layer.scale;
  const round = (number) => String(Number(number.toPrecision(3))).replace("-", "−");
  const named = (unit) => `${layer.title.split(" · ")[0]}, unit ${unit + 1}`;
  if (layer.kind === "states") {
    // Time goes down, so that a picture that is read row by row stands beside what is known of it by then.
    const area = input?.area ? { ...box, y: input.area.y, h: input.area.h } : { ...box, y: box.y + box.h * 0.1, h: box.h * 0.8 };
    const w = area.w / layer.shape[1];
    block.area = area;
    block.units = block.numbers.map((unit) => ({ x: area.x + unit * w, y: area.y, w, h: area.h }));
    block.from = (unit) => ({ x: area.x + (unit + 0.5) * w, y: area.y + area.h - 2 });
    block.edge = area.x + area.w;
    const last = (layer.shape[0] - 1) * layer.shape[1];
    block.say = (unit) => `${named(unit)}: ${round(value(last + unit))} at the end`;
    return block;
  }
  const tiles = layer.kind === "maps" || layer.plane;
  const below = layer.names && layer.plane ? 14 : 0;
  block.units = tiles ? pack(count(layer), box, 84, Infinity, below) : pack(count(layer), box, 20, 9.5);
  block.from = (unit) => middle(block.units[unit], 1);
  if (layer.kind === "units") block.say = (unit) => `${named(unit)}: ${round(value(unit))}`;
  else {
    const [, h, w] = layer.shape;
    block.say = (unit) => `${named(unit)}: highest ${round(Math.max(...upTo(h * w).map((i) => value(unit * h * w + i))))}`;
  }
  return block;
}

function answerBlock(net, box, context) {
  const answer = net.answer;
  const tile = answer.places || answer.curve;
  const rows = answer.names.length;
  const row = Math.max(11, Math.min(24, (box.h * (tile ? 0.3 : 0.9)) / rows));
  const side = tile ? Math.min(box.w, box.h - rows * row - 10) : 0;
  const top = box.y + (box.h - side - (tile ? 10 : 0) - rows * row) / 2;
  const block = { ...answer, kind: "answer", box, head: ["Answer", answer.left ? `${answer.left} classes more` : ""], net };
  if (tile) block.area = { x: box.x + (box.w - side) / 2, y: top, w: side, h: side };
  const start = top + side + (tile ? 10 : 0);
  block.numbers = answer.numbers;
  block.units = upTo(rows).map((i) => ({ x: box.x, y: start + i * row, w: box.w, h: row }));
  context.font = context.font.replace(/^/, "600 "); // as the right one is written
  block.label = 6 + Math.min(box.w * 0.45, 2 + Math.max(...answer.names.map((name) => context.measureText(name).width)));
  context.font = context.font.replace(/^600 /, "");
  block.into = (unit) => (answer.classes || !tile ? block.units[unit] : block.area);
  block.say = (unit) => `${answer.names[unit]}: ${answer.words[unit]}${unit === answer.right ? ", right" : ""}`;
  return block;
}

const middle = ({ x, y, w, h }, right) => ({ x: x + w * right, y: y + h / 2 });
