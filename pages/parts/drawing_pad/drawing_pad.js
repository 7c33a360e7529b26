// The drawing pad in the browser. Streamlit calls the default export at the first render and again whenever what
// the server sends has changed; only the first call on a canvas builds anything. All coordinates and widths are
// fractions of the pad's side, and a stroke that has been sent is never changed: snapshots can be shared.

const PERIOD = 100; // ms between two messages while the pen is down
const GAP = 1.5 / 280; // closest distance of two points that are kept
const pads = new WeakMap(); // canvas -> its pad

export default function ({ parentElement, data, setStateValue }) {
  const canvas = parentElement.querySelector("canvas");
  if (!pads.has(canvas)) pads.set(canvas, mount(parentElement, canvas, data));
  pads.get(canvas).setStateValue = setStateValue; // an older one may belong to a fragment that is gone
}

function mount(root, canvas, { strokes: start, mostStrokes, mostPoints }) {
  const find = (selector) => root.querySelector(selector);
  const [hint, range, nib] = [".hint", "#width", ".nib > span"].map(find);
  const context = canvas.getContext("2d");
  const pad = { setStateValue: null };
  let strokes = start;
  let past = start.map((_, index) => start.slice(0, index)); // what Undo goes back to, Clear included
  let pen = null; // id of the pointer that is drawing

  // --- What is seen

  function draw() {
    const side = canvas.width;
    context.clearRect(0, 0, side, side);
    context.strokeStyle = "white";
    context.lineCap = context.lineJoin = "round";
    for (const { points, width } of strokes) {
      context.lineWidth = width * side;
      trace(points.map(([x, y]) => [x * side, y * side]));
    }
    hint.hidden = strokes.length > 0;
  }

  // Quadratics from midpoint to midpoint: the same curve as dlcore/drawing.py draws.
  function trace(points) {
    const last = points.length - 1;
    context.beginPath();
    context.moveTo(...points[0]);
    for (let i = 1; i < last; i++) {
      const [[x, y], [nextX, nextY]] = [points[i], points[i + 1]];
      context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
    }
    context.lineTo(...points[last]); // a line to itself is a dot
    context.stroke();
  }

  let frame = 0;
  function redraw() {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(draw);
  }

  function fit() {
    const side = Math.round(canvas.clientWidth * devicePixelRatio);
    if (side === 0 || side === canvas.width) return; // setting the size empties the canvas
    canvas.width = canvas.height = side;
    draw();
    showNib();
  }

  // --- What is sent: the whole drawing as it is when the time comes

  let sent = strokes;
  let sentAt = 0;
  let timer = 0;

  function send(wait) {
    if (timer && wait) return; // the message under way will carry this change too
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = 0;
      if (strokes === sent || !canvas.isConnected) return;
      [sent, sentAt] = [strokes, performance.now()];
      pad.setStateValue("strokes", strokes);
    }, wait);
  }

  function change(next, { urgent }) {
    strokes = next;
    redraw();
    send(urgent ? 0 : Math.max(0, sentAt + PERIOD - performance.now()));
  }

  // --- What is done with the pen

  const round = (value) => Math.round(Math.min(1, Math.max(0, value)) * 1000) / 1000;

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [round((event.clientX - box.left) / box.width), round((event.clientY - box.top) / box.height)];
  }

  const room = () => mostPoints - strokes.reduce((sum, { points }) => sum + points.length, 0);

  // Adds the points of these pointer events to the stroke under the pen.
  function extend(events, gap) {
    const stroke = strokes.at(-1);
    const points = [...stroke.points];
    const most = points.length + room();
    for (const [x, y] of events.map(place)) {
      const [lastX, lastY] = points.at(-1);
      if (points.length < most && Math.hypot(x - lastX, y - lastY) >= gap) points.push([x, y]);
    }
    return points.length > stroke.points.length ? [...strokes.slice(0, -1), { ...stroke, points }] : strokes;
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (pen !== null || event.button !== 0 || strokes.length >= mostStrokes || room() <= 0) return;
    canvas.setPointerCapture(event.pointerId);
    fit(); // the window may have moved to a screen of another resolution
    pen = event.pointerId;
    past.push(strokes);
    change([...strokes, { points: [place(event)], width: Number(range.value) }], { urgent: false });
  });

  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pen) return;
    const coalesced = event.getCoalescedEvents?.() ?? [];
    const next = extend(coalesced.length ? coalesced : [event], GAP);
    if (next !== strokes) change(next, { urgent: false });
  });

  function lift(event) {
    if (event.pointerId !== pen) return;
    pen = null;
    // The end of the line counts, however short; a cancelled pointer has no place.
    change(event.type === "pointerup" ? extend([event], 1e-9) : strokes, { urgent: true });
  }
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);

  function undo() {
    pen = null; // a stroke still under the pen is taken back whole
    if (past.length) change(past.pop(), { urgent: true });
  }

  function clear() {
    pen = null;
    if (!strokes.length) return;
    past.push(strokes);
    change([], { urgent: true });
  }

  find(".undo").addEventListener("click", undo);
  find(".clear").addEventListener("click", clear);
  find(".pad").addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.key.toLowerCase() !== "z") return;
    event.preventDefault();
    undo();
  });

  function showNib() {
    nib.style.width = nib.style.height = `${range.value * canvas.clientWidth}px`;
    range.setAttribute("aria-valuetext", `${Math.round(range.value * 100)} % of the pad`);
  }
  range.addEventListener("input", showNib);

  if (start.length) range.value = start.at(-1).width;
  new ResizeObserver(fit).observe(canvas);
  fit();
  return pad;
}
