// "Try a state": asks the policy in service for an action.

import { element, ifChanged, list, make } from "./dom.js";
import { duration, fileName, number } from "./format.js";
import { ask, base, ofPolicy, reason, token } from "./server.js";

/** Beyond this many dimensions, a state is written as a list alone. */
const MAX_FIELDS = 32;
const form = element("try");
/** The whole state as a list. The fields show the same numbers, one each. */
const whole = element("whole");
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
    element("state-fields").hidden = state_dim > MAX_FIELDS;
    element("state-fields").replaceChildren(...(state_dim > MAX_FIELDS ? [] : fields(state_dim, low, high)));
    whole.value = `[${start(state_dim, low, high).join(", ")}]`;
    const bounded = low?.some((bound, place) => isBounded(bound, high[place]));
    element("bounds").textContent = bounded ? "The sliders have the bounds of the observations in training." : "";
    element("answer").replaceChildren();
  });
  // A policy that was swapped in answers the same state otherwise.
  ifChanged("tried", [name, model.generation], () => element("answer").hasChildNodes() && predict());
}

const isBounded = (low, high) => low !== null && high !== null && low !== undefined && low < high;

/** Zeros, or the bounds that are nearest to them. */
const start = (dimensions, low, high) => Array.from({ length: dimensions }, (_, place) => {
  const [least, most] = [low?.[place], high?.[place]];
  return isBounded(least, most) ? Math.min(most, Math.max(least, 0)) : 0;
});

function fields(dimensions, low, high) {
  return start(dimensions, low, high).map((first, place) => {
    const [least, most] = [low?.[place], high?.[place]];
    const value = make("input", { type: "number", step: "any", value: first, required: true, ariaLabel: `state[${place}]` });
    if (!isBounded(least, most)) return make("div", { className: "field" }, make("span", {}, `state[${place}]`), value);
    const ariaLabel = `state[${place}], from ${number(least)} to ${number(most)}`;
    const slider = make("input", { type: "range", min: least, max: most, step: "any", value: first, ariaLabel });
    slider.addEventListener("input", () => { value.value = number(Number(slider.value)); });
    value.addEventListener("input", () => { slider.value = value.value; });
    return make("div", { className: "field" }, make("span", {}, `state[${place}]`), slider, value);
  });
}

const inputs = () => [...form.querySelectorAll("[type=number]")];

/** The numbers of the list, which may be in the body of a request; NaN stands for what is none. */
const state = () => whole.value.replace(/^[^[]*\[|\][^\]]*$/g, "").split(/[\s,[\]]+/).filter(Boolean).map(Number);

/** Lets the fields and the list show the same numbers, those of the one that was changed. */
function agree({ target }) {
  if (target === whole) {
    const values = state();
    if (values.length !== inputs().length || values.some(Number.isNaN)) return;
    inputs().forEach((input, place) => {
      const slider = input.parentElement.querySelector("[type=range]");
      input.value = values[place];
      if (slider) slider.value = values[place];
    });
  } else if (inputs().length > 0 && target.closest("#state-fields")) {
    whole.value = `[${inputs().map((input) => input.value || "–").join(", ")}]`;
  }
}

form.addEventListener("input", (event) => {
  agree(event);
  predict();
});
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
  if (body.state.some((value) => !Number.isFinite(value))) return say("A state is a list of numbers.");
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
