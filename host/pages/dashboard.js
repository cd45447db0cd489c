// Shows what is in service: asks the server once a second while the page is visible.

import { showCandidates } from "./candidates.js";
import { marksOf, showHistory } from "./charts.js";
import { element, write } from "./dom.js";
import { ago, clock, fileName, moment } from "./format.js";
import { isPinned, showModel, showShadow } from "./model.js";
import { showNumbers } from "./numbers.js";
import { showPolicies } from "./policies.js";
import { ask, reason, token } from "./server.js";
import { setGone, showNotice, showState } from "./state.js";
import { showSwaps } from "./swaps.js";
import { showTry } from "./try.js";

const PERIOD_MS = 1000;
/** A server that takes longer to answer is busy. */
const SLOW_MS = 3000;
/** The files were not seen for so long that their storage must be slow: each poll asks for them. */
const UNSEEN_S = 5;

const CORRECTION = "A file that is corrected, or a newer one, serves the next request.";

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
  const chosen = status.has_root ? await showPolicies(status) : null;
  await show(chosen ?? status, unseen);
  await askForHistory(chosen ?? status);
  answeredAt = Date.now();
}

/** The server ends a step every few seconds, so it is asked no more often, unless a checkpoint is swapped meanwhile. */
async function askForHistory({ model, name, state, has_root, swaps }) {
  const now = JSON.stringify([name, swaps[0], model?.generation, model?.last_error]);
  if (Date.now() < historyUntil && now === seen) return;
  seen = now;
  // Without a default policy there is no folder, until one is chosen. The page loads no policy that nobody asked for.
  if (model || state === "refused" || !has_root) await showCandidates(model, name);
  const response = await ask("status/history");
  if (!response.ok) return;
  const history = await response.json();
  historyUntil = Date.now() + history.step_seconds * 1000 - PERIOD_MS / 2;
  showHistory(history);
}

async function show(status, unseen) {
  const { model, source, version, component_sha256, started_at_utc, name } = status;
  write(element("source"), source);
  element("docs").href = name ? `docs/?policy=${encodeURIComponent(name)}` : "docs/";
  element("version").textContent = `sac-serving ${version}, up for ${ago(started_at_utc)}; component ${component_sha256}`;
  element("model-section").hidden = !model;
  showModel(model);
  showShadow(status.shadow);
  showTry(model, name);
  showSwaps(name ? marksOf(name) : status.swaps);
  if (!model) return showAbsence(status);
  const file = fileName(model.path);
  const refused = model.last_error;
  if (refused) {
    showState("warn", `stale since ${moment(refused.at_utc)}`, file);
    return showNotice(
      "warn",
      `${refused.path} was refused at ${moment(refused.at_utc)}: ${refused.detail}`,
      `${file} stays in service. \`sac-serving inspect\` explains a file; one that is corrected or newer serves the next request.`,
    );
  }
  if (unseen > UNSEEN_S) {
    showState("warn", "storage is slow", file);
    const seen = moment(Date.now() - 1000 * unseen);
    return showNotice("warn", `The files were last seen at ${seen}: their storage does not answer. ${file} stays in service.`);
  }
  if (isPinned(model)) {
    showState("good", "pinned", file);
    return showNotice("good", `${file} is pinned: checkpoints that are written later do not serve until another choice.`);
  }
  showState("good", "ok", file);
  showNotice("good");
}

/** Says why there is no policy, and what to do next. */
function showAbsence({ detail, absence, source, name, state, has_root }) {
  // Without a default policy there is nothing to be missing.
  if (has_root && !name && detail === "No SAC model loaded") {
    showState("good", "ok");
    return showNotice("good", "Choose a policy.");
  }
  if (state === "not_loaded" || state === "loading") {
    showState("good", detail);
    return showNotice("good", state === "loading" ? `${name} is being loaded.` : `The first request for ${name} loads it.`);
  }
  showState("bad", "no model");
  if (state === "refused") return showNotice("bad", `${name} has no policy in service: ${detail}`, CORRECTION);
  if (state !== "empty" && detail !== "No SAC model loaded") return showNotice("bad", detail, CORRECTION);
  const place = name ? source.replace("*", name) : source;
  const folder = place.slice(0, place.lastIndexOf("/")) || place;
  showNotice(
    "bad",
    `There is no policy in service. The server looks for ${place} on each request${absence ? `, and ${absence}` : ", and finds nothing yet"}.`,
    [
      `Copy a checkpoint there: \`cp best_model.zip ${folder}/model_1.zip\``,
      `or let your trainer publish it, from Python: \`sac_serving.publish(model, "${folder}")\`.`,
      "It serves the next request, and this page shows it. A file that lacks a fact is refused, with the line that supplies it.",
    ],
  );
}

function showLocked() {
  if (token.get()) {
    showState("warn", "wrong token");
    return showNotice("warn", "The server refuses this token. It may have been replaced.");
  }
  showState("warn", "token needed");
  showNotice("warn", "This server shows its policy to those who have its token.");
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
