// "Try a state": asks the policy in service for an action.

import { element, ifChanged, list, make } from "./dom.js";
import { duration, fileName, number } from "./format.js";
import { ask, base, ofPolicy, reason, token } from "./server.js";

/** Beyond this many dimensions, a state is written as a list. */
const MAX_FIELDS = 32;
const form = element("try");
/** The policy whose state the fields hold. */
let policy = null;
/** True while a request is under way, and then true if another state was set meanwhile. */
let isAsking = false;
let isOutdated = false;

/** Makes the fields anew if the policy has others. */
export function showTry(model, name) {
  element("try-section").hidden = !model;
  if (!model) return;
  const { state_dim, observation_low: low, observation_high: high, stochastic, action_low, action_high } = model;
  policy = { name, state_dim, action_low, action_high };
  ifChanged("try", [name, state_dim, low, high, stochastic], () => {
    element("sampled").closest("label").hidden = !stochastic;
    element("sampled").checked &&= stochastic;
    element("state-fields").replaceChildren(...(state_dim > MAX_FIELDS ? [asList(state_dim)] : fields(state_dim, low, high)));
    const bounded = low?.some((bound, place) => isBounded(bound, high[place]));
    element("bounds").textContent = bounded ? "The sliders have the bounds of the observations in training." : "";
    element("answer").replaceChildren();
  });
  // A policy that was swapped in answers the same state otherwise.
  ifChanged("tried", [name, model.generation], () => element("answer").hasChildNodes() && predict());
}

const isBounded = (low, high) => low !== null && high !== null && low !== undefined && low < high;

function fields(dimensions, low, high) {
  return Array.from({ length: dimensions }, (_, place) => {
    const [least, most] = [low?.[place], high?.[place]];
    const value = make("input", { type: "number", step: "any", value: "0", required: true, ariaLabel: `state[${place}]` });
    if (!isBounded(least, most)) return make("div", { className: "field" }, make("span", {}, `state[${place}]`), value);
    value.value = Math.min(most, Math.max(least, 0));
    const ariaLabel = `state[${place}], from ${number(least)} to ${number(most)}`;
    const slider = make("input", { type: "range", min: least, max: most, step: "any", value: value.value, ariaLabel });
    slider.addEventListener("input", () => { value.value = number(Number(slider.value)); });
    value.addEventListener("input", () => { slider.value = value.value; });
    return make("div", { className: "field" }, make("span", {}, `state[${place}]`), slider, value);
  });
}

function asList(dimensions) {
  const zeros = Array.from({ length: dimensions }, () => 0).join(", ");
  return make("textarea", { rows: 4, spellcheck: false, value: zeros, ariaLabel: `The ${dimensions} numbers of the state` });
}

function state() {
  const text = form.querySelector("textarea");
  if (text) return text.value.split(/[\s,[\]]+/).filter(Boolean).map(Number);
  return [...form.querySelectorAll("[type=number]")].map((input) => input.valueAsNumber);
}

form.addEventListener("input", () => predict());
form.addEventListener("submit", (event) => {
  event.preventDefault();
  predict();
});

/** Asks for the state as it is now. Requests follow one another: a slider that moves sends the last state. */
async function predict() {
  isOutdated = true;
  if (isAsking || !policy) return;
  isAsking = true;
  while (isOutdated) {
    isOutdated = false;
    const body = { state: state(), ...(element("sampled").checked ? { deterministic: false } : {}) };
    await answer(policy, body).catch(() => say("The server does not answer."));
  }
  isAsking = false;
}

async function answer({ name, action_low, action_high }, body) {
  if (body.state.some((value) => !Number.isFinite(value))) return say("Each field of the state holds a number.");
  const response = await ask(ofPolicy(name, "sac/predict"), body);
  if (!response.ok) return say(await reason(response));
  const { action, model_path, latency_ms } = await response.json();
  const actions = [action].flat();
  element("answer").replaceChildren(make("ol", { className: "actions" }, ...actions.map((value, place) => {
    const [low, high] = [action_low?.[place] ?? -1, action_high?.[place] ?? 1];
    const bar = make("meter", { min: low, max: high, value, ariaLabel: `action[${place}], from ${number(low)} to ${number(high)}` });
    return make("li", {}, make("span", {}, `action[${place}]`), bar, make("b", {}, number(value)));
  })));
  element("answered").textContent = `${fileName(model_path)} answered in ${duration(latency_ms)}.`;
  showCommand(name, body);
}

/** The same request, for a shell. */
function showCommand(name, body) {
  const header = token.get() ? ` -H "authorization: Bearer $TOKEN"` : "";
  element("command").textContent = `curl -s ${new URL(ofPolicy(name, "sac/predict"), base)}${header} -d '${JSON.stringify(body)}'`;
}

function say(text) {
  element("answer").replaceChildren(make("p", { className: "bad" }, text));
  element("answered").textContent = "";
}
