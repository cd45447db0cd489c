// The list of the policies of a root, and which of them the page shows.

import { element, ifChanged, make, breakable } from "./dom.js";
import { number } from "./format.js";
import { ask, ofPolicy } from "./server.js";

/** The policy that the address names, as in `#NAME`. */
export const choice = () => decodeURIComponent(location.hash.slice(1));

/** Lists the policies. Returns them, and the chosen one in the form of /status, or null if none is chosen. */
export async function showPolicies(status) {
  const response = await ask("policies");
  if (!response.ok) throw new Error(`policies: ${response.status}`);
  const { policies } = await response.json();
  element("policies-section").hidden = false;
  showRows(policies);
  const policy = policies.find(({ name }) => name === choice());
  element("chosen").textContent = policy?.name ?? "";
  if (!policy) return { policies, chosen: null };
  // The page must not load a policy that nobody asked for.
  const info = policy.state === "loaded" ? await ask(ofPolicy(policy.name, "sac/model/info")) : null;
  const model = info?.ok ? await info.json() : null;
  const detail = model ? null : policy.detail ?? policy.state.replace("_", " ");
  const { name, state, shadow } = policy;
  const remedies = status.root_remedies.map((step) => ({ ...step, command: step.command.replaceAll("/NAME", `/${name}`) }));
  return { policies, chosen: { ...status, absence: null, remedies, model, detail, shadow, name, state } };
}

function showRows(policies) {
  // Rows that are the same stay, because a link in them may have the focus.
  ifChanged("policies", [policies, choice()], () => {
    const focus = document.activeElement?.closest("#policies a")?.textContent;
    element("policies-count").textContent = policies.length;
    element("policies").replaceChildren(...policies.map(row));
    [...element("policies").querySelectorAll("a")].find((link) => link.textContent === focus)?.focus();
  });
}

function row(policy) {
  const link = make("a", { href: `#${encodeURIComponent(policy.name)}` }, breakable(policy.name));
  if (policy.name === choice()) link.setAttribute("aria-current", "true");
  const state = policy.stale ? "stale" : policy.state.replace("_", " ");
  const kind = state === "loaded" ? "good" : ["stale", "refused"].includes(state) ? "bad" : "";
  const dimensions = policy.state_dim === null ? "" : `${policy.state_dim} → ${policy.action_dim}`;
  const shadow = policy.shadow && (policy.shadow.rows ? `${number(policy.shadow.difference_mean)} mean` : "waits");
  return make(
    "tr", {},
    make("td", {}, link),
    make("td", { className: kind }, breakable(policy.detail ? `${state}: ${policy.detail}` : state)),
    labelled("generation", policy.generation),
    make("td", {}, dimensions),
    labelled("shadow", shadow),
  );
}

/** A cell that says its column where the table has no head, as on a phone. */
function labelled(label, value) {
  const cell = make("td", {}, String(value ?? ""));
  if (cell.textContent) cell.dataset.label = label;
  return cell;
}
