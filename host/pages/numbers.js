// The section "Now": what /metrics says, and the change since the last time.

import { isMeasured, latest } from "./charts.js";
import { list } from "./dom.js";
import { bytes, count, duration } from "./format.js";

/** Beyond this time between two answers, a rate would be one of the past. */
const MAX_GAP_MS = 5000;
let before = null;

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

/** Shows the text of /metrics. Returns the seconds since the server saw its files. */
export function showNumbers(text) {
  const metrics = parse(text);
  const value = (name) => sum(metrics, name);
  const of = (wanted) => count(sum(metrics, "sac_reloads_total", ({ outcome }) => outcome === wanted));
  const now = { at: performance.now(), requests: value("sac_requests_total"), predictions: value("sac_inference_duration_seconds_count") };
  const seconds = before ? (now.at - before.at) / 1000 : Infinity;
  const rate = seconds * 1000 > MAX_GAP_MS ? "–" : count(Math.max(0, now.requests - before.requests) / seconds);
  const failed = sum(metrics, "sac_requests_total", ({ status }) => !(status < 400));
  // The server measures for a step, which is some seconds.
  const isUnderWay = !isMeasured() || now.predictions > (before?.predictions ?? now.predictions);
  const { p50, p99 } = latest();
  list("now", [
    ["requests", `${rate} a second, ${value("sac_requests_in_flight")} in flight`],
    ["predictions", p50 === null ? (isUnderWay ? "measuring…" : "none lately") : `p50 ${duration(p50)}, p99 ${duration(p99)}`],
    ["answered", `${count(now.requests)}, ${count(failed)} of them errors`],
    ["connections", value("sac_connections")],
    ["instances", `${value("sac_instances")} of ${bytes(value("sac_instance_memory_bytes"))}, ${value("sac_instances_lost_total")} lost`],
    ["checkpoints", `${of("loaded")} put into service, ${of("refused")} refused`],
    ["memory", `${bytes(value("process_resident_memory_bytes"))} resident`],
  ]);
  before = now;
  return value("sac_freshness_seconds");
}
