// The scales, axes and lines of a chart, as uPlot takes them.

import { clock } from "./format.js";

/** The distances of ticks, in which people count. */
const INCREMENTS = [0.1, 1, 10, 100, 1000, 10_000, 100_000].flatMap((power) => [power, 2 * power, 5 * power]);

/** The distance of a label of time from the left end, in pixels: half of its width. */
const LEAST_LEFT = 26;

/** A colour of the scheme that the page has now. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export const scales = ({ log }) => ({
  x: { range: (_, low, high) => [low, high] },
  y: log ? { distr: 3, log: 10, range: decades } : { range: (_, low, high) => [0, Math.max(1, (high ?? 0) * 1.1)] },
});

export function axes({ log, format }) {
  const both = {
    stroke: () => colour("--faint"),
    font: "11px system-ui, sans-serif",
    grid: { stroke: () => colour("--line"), width: 1 },
    ticks: { show: false },
  };
  const time = (seconds) => clock(seconds * 1000).replace(/:00$/, "");
  return [
    // A label at the left end would meet that of the other axis.
    { ...both, size: 24, space: 70, values: (plot, splits) => splits.map((at) => (plot.valToPos(at, "x") < LEAST_LEFT ? null : time(at))) },
    {
      ...both,
      size: 58,
      space: 28,
      values: (_, splits) => splits.map((value) => (value === null ? null : format(value))),
      incrs: INCREMENTS,
      ...(log ? { splits: roundSplits, filter: (_, splits) => splits } : {}),
    },
  ];
}

export const line = ([label, stroke]) => ({
  label,
  stroke: () => colour(stroke),
  width: 1.5,
  points: { size: 4, filter: lonely },
});

/** The decades that hold all values. */
function decades(_, low, high) {
  if (!(low > 0)) return [0.01, 1];
  const [least, most] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  return [10 ** least, 10 ** Math.max(most, least + 1)];
}

/** The powers of ten; where these are few, 2 and 5 times them as well. */
function roundSplits(_, __, low, high) {
  const [least, most] = [low, high].map((value) => Math.round(Math.log10(value)));
  const steps = most - least > 2 ? [1] : [1, 2, 5];
  const all = Array.from({ length: most - least + 1 }, (_, power) => steps.map((step) => step * 10 ** (least + power))).flat();
  return all.filter((value) => value <= high * 1.001);
}

/** The points that no line joins, which would not be seen. */
function lonely(plot, line) {
  const values = plot.data[line];
  const isNull = (place) => (values[place] ?? null) === null;
  return values.map((_, place) => place).filter((place) => !isNull(place) && isNull(place - 1) && isNull(place + 1));
}
