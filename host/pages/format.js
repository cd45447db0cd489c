// Writes numbers, times and paths as people read them.

export const count = (value) => value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });
export const number = (value) => String(Number(value.toPrecision(3)));
export const bytes = (value) => (value < 1e3 ? `${value} B` : value < 1e6 ? `${count(value / 1e3)} kB` : `${count(value / 1e6)} MB`);
export const clock = (time) => new Date(time).toLocaleTimeString("en-GB");
export const fileName = (path) => path.split("/").pop();

export function duration(ms) {
  // Two digits. A number that would be rounded up to 1,000 is written in the next unit.
  const [factor, unit] = ms < 0.995 ? [1e3, "µs"] : ms < 995 ? [1, "ms"] : [1e-3, "s"];
  return `${Number((ms * factor).toPrecision(2))} ${unit}`;
}

export function ago(utc) {
  const seconds = Math.max(0, (Date.now() - new Date(utc)) / 1000);
  for (const [length, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= length) return `${Math.floor(seconds / length)} ${unit}`;
  }
  return `${Math.floor(seconds)} s`;
}

/** The time of day, with the date if it is another day. */
export function moment(time) {
  const date = new Date(time);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? clock(date) : `${date.toLocaleDateString("en-CA")} ${clock(date)}`;
}
