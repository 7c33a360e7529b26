// The network on a canvas. Streamlit calls the default export at mount and again whenever what the server sends, or the
// theme, has changed; only the first call on a canvas builds anything. A drawing is made of blocks, columns from the
// input to the answer; each has `units`, rectangles in CSS pixels, in the order of the network's own units.

const HEAD = 36; // px above the blocks, for two lines of words
const SMALL = 11; // px, of all words
const BEGIN = 250; // ms without a click until the next sample is asked for
const views = new WeakMap(); // canvas -> its view

export default function ({ parentElement, data, setStateValue }) {
  const canvas = parentElement.querySelector("canvas");
  if (!views.has(canvas)) views.set(canvas, mount(parentElement, canvas, data.opened));
  const view = views.get(canvas);
  view.setStateValue = setStateValue; // an older one may belong to a fragment that is gone
  view.show(JSON.parse(data.network));
}

function mount(root, canvas, opened) {
  const find = (selector) => root.querySelector(selector);
  const [back, next, which, told] = [".back", ".next", ".which", ".told"].map(find);
  const context = canvas.getContext("2d");
  const view = { setStateValue: null, show };
  let net, blocks, looks;
  let served = null, wanted = null; // samples: the one that the server asked for, the one that the person wants
  let near = null; // [block, unit] under the pointer or the keyboard's focus
  let frame = 0, timer = 0;

  function show(found) {
    net = found;
    if (served !== net.sample && !timer) wanted = net.sample;
    served = net.sample;
    canvas.ariaLabel = net.label;
    redraw();
  }

  function redraw() {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(draw);
  }

  function draw() {
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!net || !width || !height) return; // in a tab that is hidden
    const ratio = devicePixelRatio;
    const size = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    looks = themed(getComputedStyle(canvas), context);
    context.font = `${SMALL}px ${looks.font}`;
    blocks = layout(net, width, height, context);
    const lit = near && blocks[near[0]]?.units[near[1]] ? near : null;
    drawLinks(context, blocks, looks, lit);
    for (const block of blocks) drawBlock(context, block, looks, net);
    const place = opened && blocks.findIndex((block) => block.name === opened[0]);
    const number = opened && blocks[place]?.numbers.indexOf(opened[1]);
    if (opened && number >= 0) outline(context, blocks[place].units[number], looks.text, 2);
    if (lit) outline(context, blocks[lit[0]].units[lit[1]], looks.accent, 2);
    tell();
  }

  function tell() {
    const own = net.sample === null;
    back.hidden = next.hidden = own || net.samples < 2;
    which.textContent = own ? "Your drawing" : `Sample ${(wanted ?? 0) + 1} of ${net.samples}`;
    const words = near && blocks[near[0]]?.say(near[1]);
    told.ariaLive = words ? "polite" : "off"; // what is said of every step would never end
    const text = words || net.told;
    if (told.textContent !== text) told.textContent = told.title = text;
  }

  function step(by) {
    wanted = (wanted + by + net.samples) % net.samples;
    clearTimeout(timer);
    const first = timer === 0; // the first click is answered at once, the last of many when they end
    timer = setTimeout(() => {
      timer = 0;
      if (wanted !== served) view.setStateValue("sample", wanted);
    }, BEGIN);
    if (first) view.setStateValue("sample", wanted);
    tell();
  }

  function open([place, unit]) {
    const block = blocks[place];
    if (!block.name) return;
    const chosen = [block.name, block.numbers[unit]];
    opened = String(opened) === String(chosen) ? null : chosen; // a second click closes it
    view.setStateValue("opened", opened);
    redraw();
  }

  function under(event) {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    for (const [place, block] of (blocks ?? []).entries()) {
      const unit = block.units.findIndex((one) => x >= one.x && x < one.x + one.w && y >= one.y && y < one.y + one.h);
      if (unit >= 0) return [place, unit];
    }
    return null;
  }

  function approach(found) {
    if (String(found) === String(near)) return;
    near = found;
    canvas.style.cursor = found && blocks[found[0]].name ? "pointer" : "default";
    redraw();
  }

  // The unit of the block so many columns further that is at about the same height.
  function beside([place, unit], by) {
    const { y, h } = blocks[place].units[unit];
    for (let other = place + by; blocks[other]; other += by) {
      const far = blocks[other].units.map((one) => Math.abs(one.y + one.h / 2 - y - h / 2));
      if (far.length) return [other, far.indexOf(Math.min(...far))];
    }
    return [place, unit];
  }

  canvas.addEventListener("pointermove", (event) => approach(under(event)));
  canvas.addEventListener("pointerleave", () => approach(null));
  canvas.addEventListener("blur", () => approach(null));
  canvas.addEventListener("click", (event) => {
    const found = under(event);
    if (found) open(found);
  });
  canvas.addEventListener("keydown", (event) => {
    if (!blocks || event.ctrlKey || event.metaKey || event.altKey) return;
    const start = [blocks.findIndex((block) => block.units.length), 0];
    const move = { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move) {
      const count = near && blocks[near[0]].units.length;
      const across = event.key === "ArrowLeft" || event.key === "ArrowRight";
      if (!near) approach(start);
      else approach(across ? beside(near, move) : [near[0], (near[1] + move + count) % count]);
    } else if ((event.key === "Enter" || event.key === " ") && near) open(near);
    else if (event.key === "Escape" && near) approach(null);
    else return;
    event.preventDefault();
  });
  back.addEventListener("click", () => step(-1));
  next.addEventListener("click", () => step(1));
  new ResizeObserver(redraw).observe(canvas);
  return view;
}
