// The condition of a policy or of a root: its kind, a few words for the header, and sentences that say what to do.

import { shortened } from "./dom.js";
import { fileName, moment } from "./format.js";
import { isPinned } from "./model.js";

/** The files were not seen for so long that their storage must be slow: each poll asks for them. */
const UNSEEN_S = 5;
/** As many policies in trouble are described. */
const MOST_TROUBLES = 5;
const KINDS = ["good", "warn", "bad"];
const CORRECTION = "A file that is corrected, or a newer one, serves the next request.";

/** The condition of the policy that `status` describes. Its files were seen `unseen` seconds ago. */
export function conditionOf(status, unseen) {
  const { model } = status;
  if (!model) return absence(status);
  const file = fileName(model.path);
  const refused = model.last_error;
  if (refused) {
    return { kind: "warn", text: `stale since ${moment(refused.at_utc)}`, file, notice: [
      `${refused.path} was refused at ${moment(refused.at_utc)}: ${refused.detail}`,
      `${file} stays in service. \`sac-serving inspect\` explains a file; one that is corrected or newer serves the next request.`,
    ] };
  }
  if (unseen > UNSEEN_S) {
    const seen = moment(Date.now() - 1000 * unseen);
    const notice = [`The files were last seen at ${seen}: their storage does not answer. ${file} stays in service.`];
    return { kind: "warn", text: "storage is slow", file, notice };
  }
  if (status.absence) {
    return { kind: "warn", text: "no file left", file, notice: [`${sentence(status.absence)}.`] };
  }
  if (isPinned(model)) {
    const notice = [`${file} is pinned: checkpoints that are written later do not serve until another choice.`];
    return { kind: "good", text: "pinned", file, notice };
  }
  return { kind: "good", text: "ok", file, notice: [] };
}

const sentence = (text) => text[0].toUpperCase() + text.slice(1);

/** Returns the condition of a root, which is that of its worst policy. `wanted` names one that may be missing. */
export function conditionOfRoot(status, policies, wanted, unseen) {
  const own = wanted
    ? { kind: "warn", text: "no such policy", notice: [`There is no policy ${wanted}. Choose one of these.`] }
    : conditionOf(status, unseen);
  const refused = policies.filter(({ state }) => state === "refused");
  const stale = policies.filter((policy) => policy.stale);
  const troubles = [...refused, ...stale];
  if (troubles.length === 0) return own;
  const kind = refused.length > 0 ? "bad" : "warn";
  const counts = [[refused, "refused"], [stale, "stale"]].filter(([found]) => found.length > 0);
  const text = counts.map(([found, state]) => `${found.length} ${state}`).join(", ");
  const described = troubles.slice(0, MOST_TROUBLES).map(describe);
  if (troubles.length > MOST_TROUBLES) described.push(`and ${troubles.length - MOST_TROUBLES} more, in the table`);
  const others = { kind, text, notice: ["Not all policies are well:", described, CORRECTION] };
  if (own.kind === "good") return others;
  const isWorse = KINDS.indexOf(others.kind) > KINDS.indexOf(own.kind);
  return { ...(isWorse ? others : own), notice: [...own.notice, ...others.notice] };
}

const describe = ({ name, stale, detail }) =>
  stale ? `${name} is stale: its newest checkpoint was refused: ${detail}` : `${name} has no policy in service: ${detail}`;

/** Says why there is no policy, and names the next step. */
function absence(status) {
  const { detail, name, state, has_root } = status;
  // Without a default policy there is nothing to be missing.
  if (has_root && !name && detail === "No SAC model loaded") return { kind: "good", text: "ok", notice: ["Choose a policy."] };
  if (state === "not_loaded" || state === "loading") {
    const notice = state === "loading" ? `${name} is being loaded.` : `The first request for ${name} loads it.`;
    return { kind: "good", text: detail, notice: [notice] };
  }
  const missing = (...notice) => ({ kind: "bad", text: "no model", notice });
  if (state === "refused") return missing(`${name} has no policy in service: ${detail}`, CORRECTION);
  if (state !== "empty" && detail !== "No SAC model loaded") return missing(detail, CORRECTION);
  return missing(...firstSteps(status));
}

/** The steps of the server that put a policy into service, by their kinds. */
const STEPS = {
  rename: "Rename the file that is there:",
  pattern: "Serve it by its own name: start the server with",
  model: "Serve the file that is there: start the server with",
  copy: "Copy a checkpoint there:",
  publish: "Let your trainer publish it, from Python:",
};

/** Returns ways to put the first policy into service. One suffices. */
function firstSteps({ absence, remedies, source, name }) {
  const place = name ? source.replace("*", name) : source;
  const ways = remedies.map(({ kind, command }) => `${STEPS[kind]} \`${command}\``);
  return [
    `There is no policy in service. The server looks for ${shortened(place)} on each request, and ${shortened(absence ?? "finds nothing yet")}.`,
    ...(ways.length > 0 ? ["Each of these puts one into service, for the next request:", ways] : []),
    "A file that lacks a fact is refused, with the line that supplies it.",
  ];
}
