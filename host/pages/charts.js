// Draws the last hour of the server's history by uPlot, which `uplot/` holds.

import { axes, colour, line, scales } from "./axes.js";
import { element, ifChanged, make } from "./dom.js";
import { clock, count, duration, fileName } from "./format.js";

/** How near the pointer must be to a mark, in pixels, to read it. */
const REACH = 6;
/** As many marks are read at once. */
const MOST_MARKS = 3;
/** Labels of marks are drawn where there is room for them. */
const LABEL_WIDTH = 28;
const PERCENTILES = [["p50", "--first"], ["p90", "--second"], ["p99", "--third"]];

const charts = [
  {
    id: "rate", log: false, nothing: "no requests",
    format: (value) => count(value),
    lines: [["requests", "--first"], ["errors", "--bad"]],
    read: (history) => [history.requests_per_second, history.errors_per_second],
    // A line at zero says nothing.
    isShown: (values) => values.some((value) => value > 0),
  },
  {
    id: "latency", log: true, nothing: "no predictions",
    format: (value) => duration(value),
    lines: PERCENTILES,
    read: (history) => PERCENTILES.map(([name]) => history[`${name}_ms`]),
    isShown: (values) => values.some((value) => value !== null),
  },
];

let history = null;
/** The times between which the charts are, if the user chose them by a drag. */
let zoom = null;
const spans = document.querySelectorAll("[name=span]");
for (const input of spans) {
  input.checked = input.value === (sessionStorage.getItem("span") ?? "900");
  input.addEventListener("change", () => {
    sessionStorage.setItem("span", input.value);
    zoomTo(null);
  });
}
const span = () => Number([...spans].find((input) => input.checked)?.value ?? 900);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach(({ plot }) => plot?.redraw()));

export function showHistory(next) {
  history = next;
  charts.forEach(draw);
  showSpan();
}

/** Says when the lines begin, if the server has run for less than the chosen time. */
function showSpan() {
  const { at_unix_seconds: at, step_seconds: step } = history ?? { at_unix_seconds: [] };
  const isShort = at.length > 0 && at[0] - step > at.at(-1) - span();
  element("since").textContent = isShort ? `since the server started at ${clock((at[0] - step) * 1000)};` : "";
}

/** Returns true once the server has measured for a step. */
export const isMeasured = () => (history?.at_unix_seconds.length ?? 0) > 0;

/** The percentiles of the last step, in ms; nulls if there were no predictions, or if the first step is not over. */
export const latest = () => Object.fromEntries(PERCENTILES.map(([name]) => [name, history?.[`${name}_ms`].at(-1) ?? null]));

const folder = ({ path }) => path.split("/").at(-2);

/** The swaps and refusals of a policy of a root, or of all if it is null, newest first. */
export const marksOf = (policy) => (history?.marks ?? []).filter((mark) => policy === null || folder(mark) === policy).reverse();

function draw(chart) {
  const { at_unix_seconds: at, step_seconds: step } = history ?? { at_unix_seconds: [] };
  if (at.length === 0) return;
  const [from, start] = [at.at(-1) - span(), at[0] - step];
  const first = Math.max(0, at.findIndex((time) => time >= from));
  const [times, lines] = withGaps(at.slice(first), chart.read(history).map((line) => line.slice(first)), 2.5 * step);
  const hasLines = lines.map(chart.isShown);
  const data = [times, ...lines.map((line, place) => (hasLines[place] ? line : line.map(() => null)))];
  if (chart.plot) {
    chart.plot.setData(data, false);
  } else {
    chart.plot = begin(chart, data);
  }
  chart.plot.setScale("x", zoom ?? { min: Math.max(from, start), max: at.at(-1) });
  readOut(chart);
  element(chart.id).dataset.steps = times.length;
  element(chart.id).dataset.shown = chart.lines.filter((_, place) => hasLines[place]).map(([name]) => name).join(" ");
}

/** Lets lines end where the server kept no step, as while its machine slept. */
function withGaps(times, lines, longest) {
  const [joined, values] = [[], lines.map(() => [])];
  times.forEach((time, place) => {
    if (place > 0 && time - times[place - 1] > longest) {
      joined.push(times[place - 1] + 1);
      values.forEach((line) => line.push(null));
    }
    joined.push(time);
    values.forEach((line, which) => line.push(lines[which][place]));
  });
  return [joined, values];
}

function begin(chart, data) {
  const box = element(chart.id);
  const size = () => ({ width: box.clientWidth, height: box.clientHeight });
  const plot = new uPlot({
    ...size(),
    padding: [16, 28, 0, 0],
    // The page says by itself what is under the pointer.
    legend: { show: false },
    cursor: {
      y: false,
      sync: { key: "history" },
      drag: { x: true, y: false, setScale: false },
      bind: { dblclick: () => () => zoomTo(null) },
    },
    scales: scales(chart),
    axes: axes(chart),
    series: [{}, ...chart.lines.map(line)],
    hooks: { draw: [drawMarks], setCursor: [() => readOut(chart)], setSelect: [zoomToSelection] },
  }, data, box);
  new ResizeObserver(() => plot.setSize(size())).observe(box);
  box.addEventListener("keydown", (event) => step(plot, event));
  return plot;
}

function zoomTo(times) {
  zoom = times;
  charts.forEach(draw);
  showSpan();
}

function zoomToSelection(plot) {
  const { left, width } = plot.select;
  if (width === 0) return;
  plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  zoomTo({ min: plot.posToVal(left, "x"), max: plot.posToVal(left + width, "x") });
}

/** The marks within the chart, with their places in pixels. */
function marks(plot, isCanvas) {
  const { min, max } = plot.scales.x;
  return (history?.marks ?? [])
    .map((mark) => ({ ...mark, time: Date.parse(mark.at_utc) / 1000 }))
    .filter(({ time }) => time >= min && time <= max)
    .map((mark) => ({ ...mark, x: plot.valToPos(mark.time, "x", isCanvas) }));
}

function drawMarks(plot) {
  const { ctx, bbox: { top, height } } = plot;
  ctx.save();
  ctx.font = `${10 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textAlign = "center";
  let labelled = -Infinity;
  for (const { x, generation } of marks(plot, true)) {
    const isRefused = generation === null;
    ctx.strokeStyle = ctx.fillStyle = colour(isRefused ? "--bad" : "--good");
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash(isRefused ? [2 * devicePixelRatio, 2 * devicePixelRatio] : []);
    ctx.beginPath();
    ctx.moveTo(x, top);
    ctx.lineTo(x, top + height);
    ctx.stroke();
    if (x - labelled < LABEL_WIDTH * devicePixelRatio) continue;
    ctx.fillText(isRefused ? "✗" : generation, x, top - 3 * devicePixelRatio);
    labelled = x;
  }
  ctx.restore();
}

/** Says what is under the pointer, or what was last. */
function readOut(chart) {
  const { plot, lines, format, id, nothing } = chart;
  if (!plot) return;
  const place = plot.cursor.idx ?? plot.data[0].length - 1;
  const time = clock(plot.data[0][place] * 1000);
  const values = lines
    .map(([name, stroke], line) => [name, stroke, plot.data[line + 1][place] ?? null])
    .filter(([, , value]) => value !== null);
  const near = plot.cursor.idx === null ? [] : marks(plot, false).filter(({ x }) => Math.abs(x - plot.cursor.left) <= REACH);
  ifChanged(`${id} readout`, [time, values, near], () => {
    const shown = values.map(([name, stroke, value]) => {
      const swatch = make("i");
      swatch.style.background = `var(${stroke})`;
      return make("span", {}, swatch, `${name} ${format(value)}`);
    });
    if (shown.length === 0) shown.push(make("span", {}, nothing));
    for (const mark of near.slice(-MOST_MARKS)) {
      shown.push(make("span", { className: mark.generation === null ? "bad" : "good" }, describe(mark)));
    }
    element(`${id}-readout`).replaceChildren(make("time", {}, time), ...shown);
  });
}

function describe(mark) {
  const { at_utc, path, generation, detail } = mark;
  const hasMany = new Set(history.marks.map(folder)).size > 1;
  const outcome = generation === null ? `refused: ${detail}` : `in service, generation ${generation}`;
  return `${clock(at_utc)} ${hasMany ? `${folder(mark)}/` : ""}${fileName(path)} ${outcome}`;
}

/** Moves the pointer by the keyboard: by a step, or to an end. */
function step(plot, event) {
  const last = plot.data[0].length - 1;
  const now = plot.cursor.idx ?? last;
  const moves = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last };
  const next = moves[event.key];
  if (next === undefined) return;
  event.preventDefault();
  plot.setCursor({ left: plot.valToPos(plot.data[0][Math.min(last, Math.max(0, next))], "x"), top: 0 });
}
