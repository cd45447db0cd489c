// Simulates Pendulum-v1 in the page. POST /sac/predict drives it twenty times a second.

const STEP_S = 0.05;
const GRAVITY = 10;
const MAX_TORQUE = 2;
const MAX_SPEED = 8;
const POLICIES = [["early", "after 500 steps"], ["middle", "after 2,000 steps"], ["trained", "after 8,000 steps"]];

const section = document.createElement("section");
section.id = "pendulum";
section.innerHTML = `
  <h2>A pendulum, driven by POST /sac/predict 20 times a second</h2>
  <canvas aria-label="The pendulum"></canvas>
  <p>Drop a checkpoint of its training into the folder:</p>
  <div class="buttons"></div>
  <dl>
    <dt>answered by</dt><dd id="answered-by">–</dd>
    <dt>after the last drop</dt><dd id="dropped">–</dd>
    <dt>upright for</dt><dd id="upright">–</dd>
  </dl>`;
document.getElementById("sections").prepend(section);
const canvas = section.querySelector("canvas");
const buttons = section.querySelector(".buttons");

/** The angle is measured from upright, in radians; the speed is in radians per second. The pendulum hangs at first. */
let pendulum = { angle: Math.PI - 0.05, speed: 0 };
let previous = pendulum;
let steppedAt = performance.now();
let torque = 0;
let uprightSteps = 0;
let drop = null;

for (const [name, when] of POLICIES) {
  button(`${name} (${when})`, () => publish(name)).dataset.policy = name;
}
button("push it", () => { pendulum.speed = 7 * (Math.random() < 0.5 ? -1 : 1); });

function button(text, act) {
  const made = document.createElement("button");
  made.textContent = text;
  made.addEventListener("click", act);
  buttons.append(made);
  return made;
}

async function publish(name) {
  drop = null;
  const response = await fetch(`extension/${name}`, { method: "POST" });
  if (!response.ok) return show("dropped", `the server returned ${response.status}`);
  drop = { at: performance.now() };
}

/** Computes one step with the equations and limits of Gymnasium's Pendulum-v1. Length and mass are 1. */
function step({ angle, speed }, action) {
  torque = Math.min(MAX_TORQUE, Math.max(-MAX_TORQUE, action * MAX_TORQUE));
  const faster = speed + (1.5 * GRAVITY * Math.sin(angle) + 3 * torque) * STEP_S;
  const limited = Math.min(MAX_SPEED, Math.max(-MAX_SPEED, faster));
  return { angle: angle + limited * STEP_S, speed: limited };
}

async function act() {
  const { angle, speed } = pendulum;
  const asked = performance.now();
  const state = [Math.cos(angle), Math.sin(angle), speed];
  const response = await fetch("sac/predict", { method: "POST", body: JSON.stringify({ state }) });
  const prediction = await response.json();
  if (!response.ok) return show("answered-by", `${response.status}: ${prediction.detail}`);
  previous = pendulum;
  pendulum = step(pendulum, prediction.action);
  steppedAt = performance.now();
  uprightSteps = Math.cos(pendulum.angle) > 0.95 ? uprightSteps + 1 : 0;
  const file = prediction.model_path.split("/").pop();
  show("answered-by", `${file}, in ${prediction.latency_ms.toFixed(3)} ms`);
  show("upright", `${(uprightSteps * STEP_S).toFixed(1)} s`);
  for (const each of buttons.querySelectorAll("[data-policy]")) {
    each.setAttribute("aria-pressed", prediction.model_path.includes(`_${each.dataset.policy}`));
  }
  if (drop && asked >= drop.at) {
    show("dropped", `the next request, ${(asked - drop.at).toFixed(0)} ms later, was answered by ${file}`);
    drop = null;
  }
}

function show(id, text) {
  document.getElementById(id).textContent = text;
}

async function run() {
  const began = performance.now();
  await act().catch(() => show("answered-by", "the server does not answer"));
  setTimeout(run, Math.max(0, STEP_S * 1000 - (performance.now() - began)));
}
run();

/** Interpolates between the last two steps, one step behind, so that motion is smooth at any frame rate. */
function paint() {
  const share = Math.min(1, (performance.now() - steppedAt) / (STEP_S * 1000));
  const angle = previous.angle + (pendulum.angle - previous.angle) * share;
  const size = canvas.clientWidth * devicePixelRatio;
  if (canvas.width !== size) canvas.width = canvas.height = size;
  const [context, colours] = [canvas.getContext("2d"), getComputedStyle(document.documentElement)];
  const colour = (name) => colours.getPropertyValue(name);
  context.setTransform(size / 2.6, 0, 0, size / 2.6, size / 2, size / 2);
  context.clearRect(-2, -2, 4, 4);
  context.lineCap = "round";
  line(context, colour("--first"), 0.16, [0, 0], [-Math.sin(angle), -Math.cos(angle)]);
  dot(context, colour("--text"), [0, 0], 0.04);
  arrow(context, colour("--second"), torque / MAX_TORQUE);
  requestAnimationFrame(paint);
}
requestAnimationFrame(paint);

function line(context, colour, width, from, to) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  context.moveTo(...from);
  context.lineTo(...to);
  context.stroke();
}

function dot(context, colour, at, radius) {
  context.fillStyle = colour;
  context.beginPath();
  context.arc(...at, radius, 0, 2 * Math.PI);
  context.fill();
}

/** Draws the torque as an arc around the joint, counterclockwise if it is positive. */
function arrow(context, colour, share) {
  context.strokeStyle = colour;
  context.lineWidth = 0.04;
  context.beginPath();
  context.arc(0, 0, 0.3, -Math.PI / 2, -Math.PI / 2 - share * 1.4 * Math.PI / 2, share > 0);
  context.stroke();
  const end = -Math.PI / 2 - share * 1.4 * Math.PI / 2;
  dot(context, colour, [0.3 * Math.cos(end), 0.3 * Math.sin(end)], 0.05);
}
