// Shows what is in service: asks the server once a second while the page is visible.

import { showCandidates } from "./candidates.js";
import { marksOf, showHistory } from "./charts.js";
import { conditionOf, conditionOfRoot } from "./condition.js";
import { element, shortened, write } from "./dom.js";
import { ago, clock } from "./format.js";
import { showModel, showShadow } from "./model.js";
import { showNumbers } from "./numbers.js";
import { choice, showPolicies } from "./policies.js";
import { ask, reason, token } from "./server.js";
import { setGone, showNotice, showState } from "./state.js";
import { showSwaps } from "./swaps.js";
import { showTry } from "./try.js";

const PERIOD_MS = 1000;
/** A server that takes longer to answer is busy. */
const SLOW_MS = 3000;
const ORIGIN = "The token is the one that the server was started with: that of `SAC_API_TOKEN` or `--api-token`, or a line of the file of"
  + " `--api-token-file`. Ask who runs the server for it.";

/** When the server answered last. */
let answeredAt = null;
/** The state of the policy when the history was asked for, and when it is asked for again. */
let seen = null;
let historyUntil = 0;

element("token").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set(new FormData(event.target).get("token"));
  poll();
});

/** Polls once, unless a poll is under way. The next one begins a period after this one ends. */
let timer;
let polling = false;
async function poll() {
  if (polling) return;
  polling = true;
  clearTimeout(timer);
  const slow = setTimeout(() => showBusy(`no answer for ${SLOW_MS / 1000} s`), SLOW_MS);
  try {
    if (!document.hidden) await refresh();
  } catch (error) {
    showGone(error);
  }
  clearTimeout(slow);
  polling = false;
  timer = setTimeout(poll, PERIOD_MS);
}
document.addEventListener("visibilitychange", poll);
addEventListener("hashchange", poll);
poll();

async function refresh() {
  const responses = await Promise.all(["status", "metrics"].map((path) => ask(path)));
  setGone(false);
  const locked = responses.some((response) => response.status === 401);
  element("token").hidden = !locked;
  // A link cannot send the token.
  element("metrics").hidden = Boolean(token.get());
  element("sections").hidden = locked;
  if (locked) return showLocked();
  const failed = responses.find((response) => !response.ok);
  if (failed?.status === 503) return showBusy(await reason(failed));
  if (failed) {
    showNotice("bad", `The server failed: ${await reason(failed)}. Its log says more.`);
    return showState("bad", `error ${failed.status}`);
  }
  const [status, metrics] = [await responses[0].json(), await responses[1].text()];
  const unseen = showNumbers(metrics);
  const { policies, chosen } = status.has_root ? await showPolicies(status) : {};
  await show(chosen ?? status, policies, unseen);
  answeredAt = Date.now();
  await askForHistory(chosen ?? status, policies);
}

/** The server ends a step every few seconds, so it is asked no more often, unless a checkpoint is swapped meanwhile. */
async function askForHistory({ model, name, state, has_root, swaps }, policies) {
  const others = policies?.map((policy) => [policy.generation, policy.detail]);
  const now = JSON.stringify([name, swaps[0], model?.generation, model?.last_error, others]);
  if (Date.now() < historyUntil && now === seen) return;
  seen = now;
  // Without a default policy there is no folder, until one is chosen. The page loads no policy that nobody asked for.
  if (model || state === "refused" || !has_root) await showCandidates(name);
  const response = await ask("status/history");
  if (!response.ok) return;
  const history = await response.json();
  historyUntil = Date.now() + history.step_seconds * 1000 - PERIOD_MS / 2;
  showHistory(history);
}

async function show(status, policies, unseen) {
  const { model, source, version, component_sha256, started_at_utc, name } = status;
  write(element("source"), shortened(source));
  element("source").title = source;
  element("docs").href = name ? `docs/?policy=${encodeURIComponent(name)}` : "docs/";
  element("version").textContent = `sac-serving ${version}, up for ${ago(started_at_utc)}; component ${component_sha256.slice(0, 12)}`;
  element("version").title = component_sha256;
  element("model-section").hidden = !model;
  showModel(model);
  showShadow(status.shadow);
  showTry(model, name);
  const isRoot = status.has_root && !name;
  showSwaps(isRoot ? marksOf(null) : name ? marksOf(name) : status.swaps, isRoot);
  const { kind, text, file, notice } = isRoot ? conditionOfRoot(status, policies, choice(), unseen) : conditionOf(status, unseen);
  showState(kind, text, file);
  showNotice(kind, ...notice);
}

function showLocked() {
  if (token.get()) {
    showState("warn", "wrong token");
    return showNotice("warn", "The server refuses this token. It may have been replaced.", ORIGIN);
  }
  showState("warn", "token needed");
  showNotice("warn", "This server shows its policy to those who have its token.", ORIGIN);
}

const shown = () => (answeredAt ? ` The page shows what it said at ${clock(answeredAt)}.` : "");

function showBusy(why) {
  showState("warn", "busy");
  showNotice("warn", `The server is busy: ${why}.${shown()} It is asked again each second.`);
}

function showGone(error) {
  setGone(true);
  showState("bad", "not reached");
  const isLate = error.name === "TimeoutError";
  const since = answeredAt ? ` since ${clock(answeredAt)}` : "";
  showNotice(
    "bad",
    isLate
      ? `The server has not answered${since}: it hangs, or the network does.`
      : `The server cannot be reached${since}: it has ended, or the network is cut.`,
    `${answeredAt ? "The page shows what it said then. " : ""}It is asked again each second, and the page goes on by itself.`,
  );
}
