// The sections about the policy in service and its shadow.

import { element, ifChanged, list, make, marked } from "./dom.js";
import { ago, bytes, count, number } from "./format.js";

/** A checkpoint is pinned by a time beyond that of all to come; the clocks of machines differ by less than a day. */
export const isPinned = ({ mtime_utc }) => Date.parse(mtime_utc) > Date.now() + 86_400_000;

export function showModel(model) {
  list("model", model ? [
    ["file", model.path],
    ["written", isPinned(model) ? "at a time that is unknown, because it is pinned" : `${ago(model.mtime_utc)} ago`],
    ["in service", `for ${ago(model.loaded_at_utc)}, generation ${model.generation}`],
    ["format", [...new Set([model.format, model.layout])].join(", ")],
    ["dimensions", `${model.state_dim} → ${model.action_dim}${model.stochastic ? ", stochastic" : ", deterministic only"}`],
    ["verified", model.verified_examples ? `reproduces ${model.verified_examples} examples of its card` : "has no examples in a card"],
    ["runs on", model.jit_compiled ? model.plan : `${model.plan}, not optimised`],
    ["size", bytes(model.size_bytes)],
    ["sha256", model.sha256],
  ] : [], ["sha256"]);
  showFacts(model?.facts ?? []);
}

/** The facts that the policy is computed from, and where each comes from. */
function showFacts(facts) {
  element("facts-section").hidden = facts.length === 0;
  ifChanged("facts", facts, () => {
    element("facts").replaceChildren(...facts.map(({ name, value, source }) => {
      const cells = [name.replaceAll("_", " "), value, source].map((text) => make("td", {}, ...marked(text)));
      return make("tr", {}, ...cells);
    }));
  });
}

export function showShadow(shadow) {
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
  ], ["sha256"]);
}
