// One plotly graph per mounted component, updated in place; see __init__.py for the invariants.
// Streamlit calls the default export at mount and again at every change of data or theme, with the same
// parentElement, and calls back the last function it returned at unmount.

const charts = new WeakMap(); // parentElement -> chart

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
      <label hidden title="Give every factor of ten the same height">
        <input type="checkbox" name="log"> Log scale</label>
      <label hidden title="Average each step with those before it: more shows the trend, less the noise">
        Smoothing <input type="range" name="smoothing" min="0" max="0.99" step="0.01">
        <output></output></label>
    </div>
    <div class="live-chart-plot"></div>
    <p role="alert" hidden></p>`;
  parentElement.append(root);

  const part = (selector) => root.querySelector(selector);
  const chart = { root, plot: part(".live-chart-plot"), error: part("p"), output: part("output"),
                  log: part("[name=log]"), smoothing: part("[name=smoothing]") };
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
  chart.log.parentElement.hidden = !layout.meta?.log;
  chart.smoothing.parentElement.hidden = !smooths;
  chart.output.value = weight.toFixed(2);
  if (layout.meta?.label) {
    chart.plot.role = "img";
    chart.plot.ariaLabel = layout.meta.label;
  }
  const traces = data.map((trace) => (trace.meta?.smooth ? { ...trace, y: smooth(trace.y, weight) } : { ...trace }));
  return Plotly.react(chart.plot, traces, styled(layout, log), CONFIG);
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

const CONFIG = {
  displaylogo: false,
  showTips: false,
  modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
};

// These colours show in a downloaded picture, which is dark on white; on the page the style sheet overrides them.
const AXIS = {
  automargin: true, zeroline: false, gridcolor: "#e6e6e6", tickfont: { size: 11 },
  title: { standoff: 6, font: { size: 12 } }, minorloglabels: "complete",
};
const LAYOUT = {
  autosize: true,
  margin: { l: 8, r: 8, t: 28, b: 8, pad: 4 },
  font: { size: 12, color: "#31333f" },
  hovermode: "x unified",
  hoverlabel: { font: { size: 12 } },
  legend: { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom", font: { size: 12 } },
  showlegend: true,
};

function styled(layout, log) {
  const axis = (own, more) => ({ ...AXIS, ...more, ...own, title: { ...AXIS.title, ...own?.title } });
  const { xaxis, yaxis } = layout;
  const hover = { text: `${xaxis?.title?.text ?? ""} %{x}` };
  // More ticks on a log axis and plotly labels every digit of a decade, one over the other.
  const scale = log ? { type: "log", nticks: 4, range: undefined, dtick: undefined } : {};
  return {
    ...LAYOUT,
    ...layout,
    xaxis: axis(xaxis, { unifiedhovertitle: hover }),
    // A y range zoomed on one scale means nothing on the other.
    yaxis: { ...axis(yaxis, { hoverformat: ".4~g" }), ...scale, uirevision: `${layout.uirevision} ${log}` },
  };
}
