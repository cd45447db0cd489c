// Shows what is in service: polls /status and /metrics once a second while the page is visible.

const PERIOD_MS = 1000;
const WINDOW_MS = 120_000;
/** The longest pause between two polls, not counting the polls themselves. Beyond it, they are neither compared nor joined. */
const MAX_GAP_MS = 3 * PERIOD_MS;
const TIMEOUT_MS = 10_000;
const PREDICTIONS = ["/sac/predict", "/sac/predict/batch"];
const PERCENTILES = [["p50", 0.5, "--first"], ["p90", 0.9, "--second"], ["p99", 0.99, "--third"]];

const element = (id) => document.getElementById(id);
/** Each series is a list of `{ at, value, joined }`. `joined` links a point to the one before; a null value is a gap. */
const history = { rate: [], errors: [], latency: PERCENTILES.map(() => []) };
let token = sessionStorage.getItem("token");
let before = null;

element("token").addEventListener("submit", (event) => {
  event.preventDefault();
  token = new FormData(event.target).get("token");
  sessionStorage.setItem("token", token);
  poll();
});

async function ask(path) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  return fetch(path, { headers, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
}

/** Polls once, unless a poll is under way. The next one begins a period after this one ends. */
let timer;
let polling = false;
async function poll() {
  if (polling) return;
  polling = true;
  clearTimeout(timer);
  try {
    if (!document.hidden) await refresh();
  } catch {
    showState("bad", "not reached");
  }
  polling = false;
  timer = setTimeout(poll, PERIOD_MS);
}
document.addEventListener("visibilitychange", poll);
poll();

async function refresh() {
  const began = performance.now();
  const responses = await Promise.all([ask("/status"), ask("/metrics")]);
  const locked = responses.some((response) => response.status === 401);
  element("token").hidden = !locked;
  // A link cannot send the token.
  element("metrics").hidden = Boolean(token);
  document.querySelector("main").hidden = locked;
  if (locked) return showState("warn", token ? "wrong token" : "token needed");
  const failed = responses.find((response) => !response.ok);
  if (failed) return showState("bad", `error ${failed.status}`);
  const status = await responses[0].json();
  const metrics = parse(await responses[1].text());
  const chosen = status.has_root ? await showPolicies(status) : null;
  showModel(chosen ?? status);
  // Without a default policy there is nothing to be missing.
  if (status.has_root && !chosen && !status.model && status.detail === "No SAC model loaded") showRoot();
  showShadow((chosen ?? status).shadow);
  showSwaps(status.swaps);
  const at = performance.now();
  showMetrics({ at, took: at - began, metrics });
}

/** Parses Prometheus's text format into the samples of each name: labels and a value. */
function parse(text) {
  const metrics = new Map();
  for (const line of text.split("\n")) {
    const found = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!found) continue;
    const labels = Object.fromEntries(
      [...(found[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name, value]),
    );
    if (!metrics.has(found[1])) metrics.set(found[1], []);
    metrics.get(found[1]).push({ labels, value: Number(found[3].replace("Inf", "Infinity")) });
  }
  return metrics;
}

function sum(metrics, name, wanted = () => true) {
  return (metrics.get(name) ?? []).filter(({ labels }) => wanted(labels)).reduce((total, { value }) => total + value, 0);
}

/** The policy that the address names, as in `#NAME`. */
const choice = () => decodeURIComponent(location.hash.slice(1));
addEventListener("hashchange", poll);

/** Lists the policies of a root. Returns the chosen one in the form of /status, or null if none is chosen. */
async function showPolicies(status) {
  const response = await ask("/policies");
  if (!response.ok) throw new Error(`/policies: ${response.status}`);
  const { policies } = await response.json();
  element("policies-section").hidden = false;
  showRows(policies);
  const policy = policies.find(({ name }) => name === choice());
  element("chosen").textContent = policy?.name ?? "";
  if (!policy) return null;
  // The page must not load a policy that nobody asked for.
  const info = policy.state === "loaded" ? await ask(`/policies/${policy.name}/sac/model/info`) : null;
  const model = info?.ok ? await info.json() : null;
  const detail = model ? null : policy.detail ?? policy.state.replace("_", " ");
  return { ...status, model, detail, shadow: policy.shadow };
}

function showRoot() {
  showState("good", "ok");
  write(element("trouble"), "Choose a policy.");
}

let shownPolicies;
function showRows(policies) {
  // Rows that are the same stay, because a link in them may have the focus.
  const text = JSON.stringify([policies, choice()]);
  if (text === shownPolicies) return;
  shownPolicies = text;
  const focus = document.activeElement?.closest("#policies a")?.textContent;
  element("policies").replaceChildren(...policies.map((policy) => {
    const row = document.createElement("tr");
    const link = document.createElement("a");
    link.href = `#${encodeURIComponent(policy.name)}`;
    link.textContent = policy.name;
    if (policy.name === choice()) link.setAttribute("aria-current", "true");
    row.insertCell().append(link);
    const state = policy.stale ? "stale" : policy.state.replace("_", " ");
    const dimensions = policy.state_dim === null ? "" : `${policy.state_dim} → ${policy.action_dim}`;
    const shadow = policy.shadow && (policy.shadow.rows ? `${number(policy.shadow.difference_mean)} mean` : "waits");
    for (const text of [state, policy.generation ?? "", dimensions, shadow ?? ""]) row.insertCell().textContent = text;
    row.cells[1].className = state === "loaded" ? "good" : ["stale", "refused"].includes(state) ? "bad" : "";
    row.cells[1].title = policy.detail ?? "";
    return row;
  }));
  [...element("policies").querySelectorAll("a")].find((link) => link.textContent === focus)?.focus();
}

function showShadow(shadow) {
  element("shadow-section").hidden = !shadow;
  if (!shadow) return;
  list("shadow", [
    ["file", shadow.path],
    ...(shadow.detail ? [["trouble", shadow.detail]] : []),
    ["compared", shadow.rows ? `${count(shadow.rows)} states, with generation ${shadow.compared_with}` : "nothing yet: it waits for requests"],
    ...(shadow.rows ? [
      ["difference", `${number(shadow.difference_mean)} in the mean, ${number(shadow.difference_max)} at most`],
      [`above ${shadow.threshold}`, `${number(100 * shadow.above_threshold)} % of the states`],
    ] : []),
    ...(shadow.sha256 ? [["sha256", shadow.sha256]] : []),
  ]);
}

function showState(kind, text) {
  element("state").className = `pill ${kind}`;
  element("state").textContent = text;
}

function showModel({ model, detail, source, version, component_sha256, started_at_utc }) {
  showState(...(model ? (model.stale ? ["warn", "stale"] : ["good", "ok"]) : ["bad", "no model"]));
  element("source").textContent = source;
  const refused = model?.last_error;
  const trouble = refused ? `${refused.path} was refused: ${refused.detail}` : detail;
  element("trouble").hidden = !trouble;
  write(element("trouble"), trouble ?? "");
  list("model", model ? [
    ["file", model.path],
    ["written", `${ago(model.mtime_utc)} ago`],
    ["in service", `for ${ago(model.loaded_at_utc)}, generation ${model.generation}`],
    ["format", `${model.format}, ${model.layout}`],
    ["dimensions", `${model.state_dim} → ${model.action_dim}${model.stochastic ? ", stochastic" : ", deterministic only"}`],
    ...(model.facts ?? []).map(({ name, value, source }) => [name.replaceAll("_", " "), `${value} (${source})`]),
    ["verified", model.verified_examples ? `${model.verified_examples} examples` : "no examples"],
    ["runs on", model.jit_compiled ? model.plan : `${model.plan}, not optimised`],
    ["size", bytes(model.size_bytes)],
    ["sha256", model.sha256],
  ] : []);
  element("version").textContent = `sac-serving ${version}, up for ${ago(started_at_utc)}; component ${component_sha256}`;
}

let shownSwaps;
function showSwaps(swaps) {
  const text = JSON.stringify(swaps);
  if (text === shownSwaps) return;
  shownSwaps = text;
  element("swaps").replaceChildren(...swaps.map(({ at_utc, path, generation, detail, duration_ms }) => {
    const row = document.createElement("tr");
    const outcome = generation === null ? `refused: ${detail}` : `in service, generation ${generation}`;
    for (const text of [clock(at_utc), path.split("/").pop(), outcome, `${duration_ms.toFixed(1)} ms`]) {
      row.insertCell().textContent = text;
    }
    row.cells[0].title = at_utc;
    row.cells[1].title = path;
    row.cells[2].className = generation === null ? "bad" : "good";
    return row;
  }));
}

function showMetrics(now) {
  if (before && now.at - before.at > MAX_GAP_MS + now.took) before = null;
  const value = (name) => sum(now.metrics, name);
  const failed = (metrics) => sum(metrics, "sac_requests_total", ({ status }) => !(status < 400));
  const seconds = before ? (now.at - before.at) / 1000 : NaN;
  const since = (read) => (before ? Math.max(0, read(now.metrics) - read(before.metrics)) / seconds : null);
  const rate = since((metrics) => sum(metrics, "sac_requests_total"));
  const percentiles = before ? latencies(now.metrics, before.metrics) : PERCENTILES.map(() => null);
  const keep = (points, value) => push(points, { at: now.at, value, joined: before !== null });
  keep(history.rate, rate);
  keep(history.errors, since(failed));
  PERCENTILES.forEach((_, index) => keep(history.latency[index], percentiles[index]));
  const [p50, , p99] = percentiles;
  list("now", [
    ["requests", `${rate === null ? "–" : count(rate)} a second, ${value("sac_requests_in_flight")} in flight`],
    ["predictions", !before ? "–" : p50 === null ? "none this second" : `p50 ${time(p50)}, p99 ${time(p99)}`],
    ["answered", `${count(value("sac_requests_total"))}, ${count(failed(now.metrics))} of them errors`],
    ["connections", value("sac_connections")],
    ["instances", `${value("sac_instances")} of ${bytes(value("sac_instance_memory_bytes"))}, ${value("sac_instances_lost_total")} lost`],
    ["checkpoints", outcomes(now.metrics)],
    ["memory", `${bytes(value("process_resident_memory_bytes"))} resident`],
  ]);
  draw("rate", [["requests", history.rate, "--first"], ["errors", history.errors, "--bad"]], (n) => count(n), false);
  draw("latency", PERCENTILES.map(([name, , colour], index) => [name, history.latency[index], colour]), time, true);
  before = now;
}

function outcomes(metrics) {
  const of = (wanted) => count(sum(metrics, "sac_reloads_total", ({ outcome }) => outcome === wanted));
  return `${of("loaded")} put into service, ${of("refused")} refused`;
}

/** The percentiles of the predictions since `earlier`, interpolated within a bucket; nulls if there were none. */
function latencies(metrics, earlier) {
  const upTo = new Map();
  for (const [source, sign] of [[metrics, 1], [earlier, -1]]) {
    for (const { labels, value } of source.get("sac_request_duration_seconds_bucket") ?? []) {
      if (!PREDICTIONS.includes(labels.route)) continue;
      const bound = Number(labels.le.replace("+Inf", "Infinity"));
      upTo.set(bound, (upTo.get(bound) ?? 0) + sign * value);
    }
  }
  const buckets = [...upTo].sort(([a], [b]) => a - b);
  const total = buckets.at(-1)?.[1] ?? 0;
  return PERCENTILES.map(([, share]) => {
    if (!(total > 0)) return null;
    const index = buckets.findIndex(([, number]) => number >= share * total);
    const [low, under] = buckets[index - 1] ?? [0, 0];
    const [high, number] = buckets[index];
    return high === Infinity ? low : low + (high - low) * ((share * total - under) / (number - under));
  });
}

function push(points, point) {
  points.push(point);
  while (points[0].at < point.at - WINDOW_MS) points.shift();
}

/** Draws lines over the last two minutes. The present is at the right edge. */
function draw(id, series, label, logarithmic) {
  const svg = element(id);
  const [width, height, left, bottom, top] = [svg.clientWidth, svg.clientHeight, 56, 8, 16];
  const known = series.flatMap(([, points]) => points.map(({ value }) => value).filter((value) => value !== null));
  const [least, most] = [Math.min(...known), Math.max(...known, logarithmic ? 0 : 1)];
  const low = logarithmic ? 10 ** Math.floor(Math.log10(least)) : 0;
  const high = logarithmic ? Math.max(10 ** Math.ceil(Math.log10(most)), low * 10) : most * 1.1;
  const scale = logarithmic ? Math.log10 : (value) => value;
  const y = (value) => height - bottom - ((scale(value) - scale(low)) / (scale(high) - scale(low))) * (height - bottom - top);
  const now = Math.max(...series.map(([, points]) => points.at(-1).at));
  const x = (at) => left + (1 - (now - at) / WINDOW_MS) * (width - left - 4);
  const parts = [];
  if (known.length > 0) {
    const decades = Math.round(scale(high) - scale(low));
    const lines = logarithmic ? Array.from({ length: decades + 1 }, (_, power) => low * 10 ** power) : [0, high / 2.2, high / 1.1];
    for (const line of lines) {
      parts.push(shape("line", { class: "grid", x1: left, x2: width, y1: y(line), y2: y(line) }));
      parts.push(shape("text", { x: left - 6, y: y(line) + 4, "text-anchor": "end" }, label(line)));
    }
  }
  series.forEach(([name, points, colour], index) => {
    let penIsDown = false;
    const path = points.map(({ at, value, joined }) => {
      const goesOn = penIsDown && joined;
      penIsDown = value !== null;
      if (!penIsDown) return "";
      const place = `${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
      // The round caps of a line of length 0 draw a single point as a dot.
      return goesOn ? `L${place}` : `M${place}l0 0`;
    });
    const style = `stroke: var(${colour})`;
    parts.push(shape("path", { d: path.join(" "), style }));
    parts.push(shape("text", { x: left + 70 * index, y: 10, style: `fill: var(${colour})` }, name));
  });
  svg.replaceChildren(...parts);
}

function shape(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function list(id, entries) {
  const texts = entries.flat().map(String);
  const shown = element(id);
  if (shown.children.length !== texts.length) {
    shown.replaceChildren(...texts.map((_, place) => document.createElement(place % 2 ? "dd" : "dt")));
  }
  texts.forEach((text, place) => write(shown.children[place], text));
}

/** Leaves unchanged text alone, because the user may be selecting it. */
function write(shown, text) {
  if (shown.textContent !== text) shown.textContent = text;
}

const count = (number) => number.toLocaleString("en", { maximumFractionDigits: number < 10 ? 1 : 0 });
const number = (value) => String(Number(value.toPrecision(3)));
const bytes = (number) => (number < 1e6 ? `${count(number / 1e3)} kB` : `${count(number / 1e6)} MB`);
const clock = (utc) => new Date(utc).toLocaleTimeString("en-GB");

function time(seconds) {
  // Two digits. A number that would be rounded up to 1,000 is written in the next unit.
  const [factor, unit] = seconds < 0.995e-3 ? [1e6, "µs"] : seconds < 0.995 ? [1e3, "ms"] : [1, "s"];
  return `${Number((seconds * factor).toPrecision(2))} ${unit}`;
}

function ago(utc) {
  const seconds = Math.max(0, (Date.now() - new Date(utc)) / 1000);
  for (const [length, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= length) return `${Math.floor(seconds / length)} ${unit}`;
  }
  return `${Math.floor(seconds)} s`;
}
