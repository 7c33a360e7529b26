// One plotly graph per mounted component, updated in place; see __init__.py for the invariants.
// Streamlit calls the default export at mount and again at every change of data or theme, with the same
// parentElement, and calls back the last function it returned at unmount.

const charts = new WeakMap(); // parentElement -> chart
const shown = new Set(); // all charts of the page
const crosshairs = new Map(); // group -> {chart: the one under the pointer, x}
const LINE = 13; // pixels between two names that would lie over each other

export default function ({ data, parentElement }) {
  if (!data.figure) return void loadPlotly(data.plotly).catch(() => {}); // a chart will try again, and tell
  let chart = charts.get(parentElement);
  if (!chart) charts.set(parentElement, (chart = build(parentElement, data.key)));
  chart.figure = JSON.parse(data.figure);
  chart.plotlyFile = data.plotly;
  schedule(chart);
  // When calls overlap, Streamlit cleans up after the older one although the chart is still on the page.
  return () => parentElement.isConnected || destroy(parentElement, chart);
}

function build(parentElement, key) {
  const root = document.createElement("div");
  root.className = "live-chart";
  root.innerHTML = `
    <div class="live-chart-tools">
      <span></span>
      <label hidden title="Average each step with those before it: more shows the trend, less the noise">
        Smoothing <input type="range" name="smoothing" min="0" max="0.99" step="0.01">
        <output></output></label>
      <label hidden title="Give every factor of ten the same height">
        <input type="checkbox" name="log"> Log scale</label>
    </div>
    <div class="live-chart-picture"><div class="live-chart-plot"></div></div>
    <p role="alert" hidden></p>`;
  parentElement.append(root);

  const part = (selector) => root.querySelector(selector);
  const chart = { root, plot: part(".live-chart-plot"), error: part("p"), output: part("output"),
                  log: part("[name=log]"), smoothing: part("[name=smoothing]"), heading: part("span"),
                  picture: part(".live-chart-picture"), notes: new Map(), hidden: new Set() };
  shown.add(chart);
  const memory = `live-chart:${key}`;
  const { log = false, smoothing = 0.6 } = JSON.parse(localStorage.getItem(memory) ?? "{}");
  chart.log.checked = log;
  chart.smoothing.value = smoothing;
  part(".live-chart-tools").addEventListener("input", () => {
    const choice = { log: chart.log.checked, smoothing: Number(chart.smoothing.value) };
    localStorage.setItem(memory, JSON.stringify(choice));
    schedule(chart);
  });

  // A redraw would break off a zoom being dragged: data that arrive meanwhile wait for the button to go up.
  chart.events = new AbortController();
  const { signal } = chart.events;
  chart.plot.addEventListener("pointerdown", () => (chart.held = true), { signal });
  for (const end of ["pointerup", "pointercancel"])
    window.addEventListener(end, () => { if (chart.held) { chart.held = false; schedule(chart); } }, { signal });

  chart.observer = new ResizeObserver(() => { // a hidden plot (another tab) has no size to fit
    if (chart.plot.data && chart.plot.clientWidth) window.Plotly.Plots.resize(chart.plot);
  });
  chart.observer.observe(chart.plot);
  return chart;
}

function destroy(parentElement, chart) {
  chart.destroyed = true;
  shown.delete(chart);
  leave(chart);
  chart.events.abort();
  chart.observer.disconnect();
  window.Plotly?.purge(chart.plot);
  chart.root.remove();
  charts.delete(parentElement);
}

// At most one drawing a frame, however fast data and slider events come.
function schedule(chart) {
  chart.frame ??= requestAnimationFrame(async () => {
    chart.frame = null;
    try {
      const Plotly = await loadPlotly(chart.plotlyFile);
      if (!chart.held && !chart.destroyed) await draw(Plotly, chart);
      chart.error.hidden = true;
    } catch (error) {
      chart.error.textContent = `The chart could not be drawn: ${error.message}`;
      chart.error.hidden = false;
    }
  });
}

// All charts of the page share one load; after a failure the next update tries again.
function loadPlotly(file) {
  return (window.liveChartPlotly ??= new Promise((resolve, reject) => {
    // The page's own address may be a sub-page; Streamlit's script tells where the app really lives.
    const base = document.querySelector('script[src*="static/js/"]')?.src.replace(/static\/js\/[^/]*$/, "");
    const script = document.createElement("script");
    script.src = new URL(`app/static/${file}`, base ?? document.baseURI);
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      window.liveChartPlotly = undefined;
      script.remove();
      reject(new Error(`plotly.js did not load from ${script.src}. Is server.enableStaticServing on?`));
    };
    document.head.append(script);
  }));
}

function draw(Plotly, chart) {
  const { data } = chart.figure;
  // Plotly writes the viewer's edits into what it is given, so it gets copies: the same figure may be drawn again.
  const layout = structuredClone(chart.figure.layout);
  const smooths = data.some((trace) => trace.meta?.smooth);
  const weight = Number(chart.smoothing.value);
  const log = Boolean(layout.meta?.log && chart.log.checked);
  if (chart.group !== layout.meta?.group) { // what the crosshair tells is of other runs
    leave(chart);
    if (chart.plot.data) Plotly.Fx.unhover(chart.plot);
  }
  chart.group = layout.meta?.group;
  chart.heading.textContent = layout.meta?.heading ?? "";
  if (chart.view !== layout.uirevision) chart.hidden.clear();
  chart.view = layout.uirevision;
  chart.log.parentElement.hidden = !layout.meta?.log;
  chart.smoothing.parentElement.hidden = !smooths;
  chart.output.value = weight.toFixed(2);
  if (layout.meta?.label) {
    chart.plot.role = "img";
    chart.plot.ariaLabel = layout.meta.label;
  }
  const traces = data.map((trace) => ({
    ...trace,
    ...(trace.meta?.smooth && { y: smooth(trace.y, weight) }),
    ...(chart.hidden.has(trace.uid) && { visible: "legendonly" }),
  }));
  // Only the first time with a config: plotly would compare it, and build all anew for a list that is not the same.
  const config = chart.plot.data ? undefined : { ...CONFIG, modeBarButtons: buttons(Plotly, chart) };
  const first = !chart.plot.data;
  return Plotly.react(chart.plot, traces, styled(layout, log, traces), config).then(() => {
    if (first) follow(Plotly, chart);
    annotate(Plotly, chart);
    point(Plotly, chart);
  });
}

function follow(Plotly, chart) {
  const moved = () => annotate(Plotly, chart);
  for (const event of ["plotly_relayout", "plotly_relayouting", "plotly_restyle"]) chart.plot.on(event, moved);
  chart.plot.on("plotly_hover", ({ points }) => {
    crosshairs.set(chart.group, { chart, x: points[0].x });
    for (const other of shown) point(Plotly, other);
  });
  chart.plot.on("plotly_unhover", () => leave(chart));
}

// The crosshair of the chart under the pointer, in another one of its group.
function point(Plotly, chart) {
  const cross = chart.group && crosshairs.get(chart.group);
  if (!cross || cross.chart === chart || !chart.plot.data) return;
  Plotly.Fx.hover(chart.plot, { xval: cross.x }, "xy");
}

function leave(chart) {
  if (crosshairs.get(chart.group)?.chart !== chart) return;
  crosshairs.delete(chart.group);
  for (const other of shown)
    if (other !== chart && other.group === chart.group && other.plot.data) window.Plotly.Fx.unhover(other.plot);
}

// Words over the plot, which plotly would not know where to put: the name of a line at its end, the best value at its
// star, and a mark wherever values are above the axis.
function annotate(Plotly, chart) {
  const words = wordsOf(chart);
  for (const [key, element] of chart.notes)
    if (!words.some((one) => one.key === key)) { element.remove(); chart.notes.delete(key); }
  const { l, t } = chart.plot._fullLayout._size;
  for (const { key, kind, text, x, y, uid } of words) {
    let element = chart.notes.get(key);
    if (!element) {
      element = document.createElement(kind === "end" ? "button" : "span");
      element.className = `live-chart-${kind}`;
      if (kind === "end") {
        element.type = "button";
        element.title = "Hide or show this line";
        element.addEventListener("click", () => {
          if (!chart.hidden.delete(uid)) chart.hidden.add(uid);
          schedule(chart);
        });
      }
      chart.notes.set(key, element);
      chart.picture.append(element);
    }
    if (element.textContent !== text) element.textContent = text;
    if (kind === "end") element.ariaPressed = String(!chart.hidden.has(uid));
    element.style.transform = `translate(${(l + x).toFixed(1)}px, ${(t + y).toFixed(1)}px) ${ANCHOR[kind]}`;
  }
}

const ANCHOR = { end: "translate(9px, -50%)", above: "translate(-50%, 0)",
                 "best-left": "translate(-100%, -50%)", "best-right": "translate(0, -50%)" };

// In pixels from the plot's upper left corner.
function wordsOf(chart) {
  const { xaxis, yaxis } = chart.plot._fullLayout;
  const [width, height] = [xaxis._length, yaxis._length];
  const words = [], above = [], ends = [];
  const at = ({ x, y }, place) => (y[place] === null ? null : { x: xaxis.d2p(x[place]), y: yaxis.d2p(y[place]) });
  const within = (spot) => spot && Number.isFinite(spot.y) && spot.x >= -1 && spot.x <= width + 1;
  for (const trace of chart.plot.data) {
    const { uid, meta, mode, visible } = trace;
    if (trace.type !== "scatter" || mode === "markers") continue;
    const spots = trace.y.map((_, place) => at(trace, place));
    const last = spots.findLast(within);
    if (meta?.end && last)
      ends.push({ key: `end ${uid}`, kind: "end", uid, text: meta.end, x: Math.min(last.x, width),
                  y: Math.min(Math.max(last.y, 0), height) });
    if (visible === "legendonly" || !chart.figure.layout.meta?.heading) continue;
    const star = meta?.best && spots[meta.best[0]];
    if (within(star) && star.y > -1 && star.y < height + 1) {
      const side = star.x > width / 2 ? "left" : "right";
      const away = side === "right" && last.x - star.x < 60 ? 30 : 16; // from the names at the lines' ends
      words.push({ key: `best ${uid}`, kind: `best-${side}`, text: meta.best[1], x: star.x + (side === "left" ? 4 : -4),
                   y: star.y + (star.y > height / 2 ? -away : away) });
    }
    let highest = null; // of the points, one after another, that are above the axis
    for (const spot of [...spots, null]) {
      if (within(spot) && spot.y < -1) { if (!highest || spot.y < highest.y) highest = spot; }
      else if (highest) { above.push(highest.x); highest = null; }
    }
  }
  let before = -Infinity;
  for (const x of above.sort((a, b) => a - b))
    if (x - before >= 12) words.push({ key: `above ${words.length}`, kind: "above", text: "▲", x: (before = x), y: 0 });
  return [...words, ...apart(ends, chart, height)];
}

// Names that would lie over each other are moved apart, and do not change places while their lines cross there.
function apart(ends, chart, height) {
  chart.heights ??= new Map();
  const order = (a, b) => (Math.abs(a.y - b.y) < LINE && chart.heights.has(a.key) && chart.heights.has(b.key)
    ? chart.heights.get(a.key) - chart.heights.get(b.key) : a.y - b.y);
  ends.sort(order);
  ends.forEach((end, place) => {
    const upper = ends[place - 1];
    if (!upper || end.y - upper.y >= LINE) return;
    const middle = (end.y + upper.y) / 2;
    upper.y = Math.min(middle - LINE / 2, height - LINE);
    end.y = upper.y + LINE;
  });
  chart.heights = new Map(ends.map(({ key, y }) => [key, y]));
  return ends;
}

function buttons(Plotly, chart) {
  const click = () => download(Plotly, chart);
  return [["zoom2d", "pan2d", "resetScale2d",
           { name: "picture", title: "Download as a picture", icon: Plotly.Icons.camera, click }]];
}

// With the words that stand over the chart, and its heading.
function download(Plotly, chart) {
  const { plot, figure } = chart;
  const { l, r, t, b, w, h } = plot._fullLayout._size;
  const words = wordsOf(chart).map(({ kind, text, x, y }) => ({
    text, showarrow: false, font: { size: 11 }, xref: "paper", yref: "paper", x: x / w, y: 1 - y / h,
    xanchor: { end: "left", above: "center", "best-left": "right", "best-right": "left" }[kind],
    yanchor: kind === "above" ? "top" : "middle", xshift: kind === "end" ? 7 : 0,
  }));
  const heading = { text: figure.layout.meta?.heading, x: 0, xref: "paper", y: 1, yref: "container", yanchor: "top",
                    pad: { t: 4 }, font: { size: 13 } };
  const room = figure.layout.meta?.heading ? 20 : 0;
  const layout = { ...plot.layout, title: room ? heading : undefined, margin: { l, r, t: t + room, b, pad: 4 },
                   annotations: [...(plot.layout.annotations ?? []), ...words] };
  const size = { width: plot.clientWidth, height: plot.clientHeight + room, scale: 2 };
  return Plotly.downloadImage({ data: plot.data, layout }, { format: "png", filename: "dlcore", ...size });
}

// Exponential moving average, debiased as in TensorBoard: the first values are not drawn towards zero.
function smooth(values, weight) {
  let average = 0, bias = 1;
  return values.map((value) => {
    if (value === null) return null;
    average = weight * average + (1 - weight) * value;
    bias *= weight;
    return average / (1 - bias);
  });
}

const CONFIG = { displaylogo: false, showTips: false };

// These colours show in a downloaded picture, which is dark on white; on the page the style sheet overrides them.
const AXIS = {
  automargin: true, zeroline: false, gridcolor: "#e6e6e6", tickfont: { size: 11 },
  title: { standoff: 6, font: { size: 12 } },
};
const LAYOUT = {
  autosize: true,
  font: { size: 12, color: "#31333f" },
  hovermode: "x unified",
  hoverlabel: { font: { size: 12 } },
  legend: { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom", font: { size: 12 } },
  showlegend: true,
};

function styled(layout, log, traces) {
  const { xaxis, yaxis, meta } = layout;
  // What a chart's heading says, its axes do not say again. Charts over each other have their left edges in common,
  const title = (own) => (meta?.heading ? undefined : { ...AXIS.title, ...own?.title });
  const axis = (own, more) => ({ ...AXIS, ...more, ...own, title: title(own) });
  // and their lower ones do not move when the first numbers come.
  const edges = meta?.heading ? { l: 46, b: 24 } : { l: 8, b: 8 };
  const margin = { ...edges, r: 8, t: layout.showlegend === false ? 16 : 28, pad: 4 };
  const hover = { text: `${xaxis?.title?.text ?? ""} %{x}` };
  return {
    ...LAYOUT,
    ...layout,
    margin: { ...margin, ...layout.margin },
    xaxis: axis(xaxis, { unifiedhovertitle: hover, automargin: !meta?.heading }),
    // A y range zoomed on one scale means nothing on the other.
    yaxis: { ...axis(yaxis, { hoverformat: ".4~g" }), ...(log && logarithmic(traces)),
             uirevision: `${layout.uirevision} ${log}` },
  };
}

// A label for every factor of ten, as a plain number, or for 1, 2 and 5 where there is hardly one such factor.
function logarithmic(traces) {
  let [low, high] = [Infinity, 0];
  for (const { y } of traces)
    for (const value of y) if (value > 0) [low, high] = [Math.min(low, value), Math.max(high, value)];
  const decades = high ? Math.log10(high / low) : 1;
  return { type: "log", range: undefined, dtick: undefined, autorangeoptions: undefined, tickformat: "~g",
           nticks: Math.min(Math.max(Math.ceil(decades), 2), 6), minorloglabels: "complete" };
}
