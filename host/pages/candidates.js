// The checkpoints of the folder: rolls back to one of them, or pins one.

import { breakable, element, ifChanged, make, nameCell } from "./dom.js";
import { bytes, moment } from "./format.js";
import { ask, ofPolicy, reason } from "./server.js";

/** The server lists no more. */
const MOST = 100;

const dialog = element("confirm");

/** Lists the candidates of a policy, once a few seconds and after a choice. */
export async function showCandidates(name) {
  const response = await ask(ofPolicy(name, "sac/model/candidates"));
  const { may_select, candidates } = response.ok ? await response.json() : { candidates: [] };
  element("candidates-section").hidden = candidates.length === 0;
  element("no-rollback").hidden = may_select;
  const pinned = candidates.find((candidate) => candidate.pinned)?.file ?? null;
  ifChanged("candidates", [name, may_select, candidates], () => {
    const focus = document.activeElement?.closest("#candidates button")?.ariaLabel;
    element("candidates-count").textContent = candidates.length < MOST ? candidates.length : `the newest ${MOST}`;
    element("candidates").replaceChildren(...candidates.map((candidate) => row(candidate, may_select, name, pinned)));
    [...element("candidates").querySelectorAll("button")].find((button) => button.ariaLabel === focus)?.focus();
  });
}

/** `pinnedFile` is in service, whatever is newer than it. */
function row({ file, mtime_utc, size_bytes, in_service, pinned, refusal }, maySelect, name, pinnedFile) {
  const state = [in_service && "in service", pinned && "pinned", refusal && `refused: ${refusal}`].filter(Boolean).join(", ");
  // Without a pin, the newest is in service, so all others are older.
  const verb = pinned ? "Unpin" : pinnedFile ? "Put into service" : "Roll back";
  // A file that is refused would not serve.
  const buttons = maySelect && !refusal ? [
    (!in_service || pinned) && choice(verb, { file, pin: false }, name, pinnedFile),
    !pinned && choice("Pin", { file, pin: true }, name, pinnedFile),
  ].filter(Boolean) : [];
  return make(
    "tr", {},
    make("td", { title: mtime_utc }, pinned ? "pinned" : moment(mtime_utc)),
    nameCell(file),
    make("td", { className: refusal ? "bad" : "good" }, breakable(state)),
    make("td", { className: "number" }, bytes(size_bytes)),
    make("td", {}, ...buttons),
  );
}

function choice(verb, selection, name, pinnedFile) {
  const button = make("button", { ariaLabel: `${verb} ${selection.file}` }, verb);
  button.addEventListener("click", () => confirm(verb, selection, name, pinnedFile));
  return button;
}

const CONSEQUENCES = {
  "Put into service": "It answers the next request, and those after it until a checkpoint is written.",
  "Roll back": "It answers the next request, and those after it until a checkpoint is written.",
  "Pin": "It answers the next request, and all after it, whatever is written, until another choice.",
  "Unpin": "It stays in service until a checkpoint is written.",
};

/** Asks before it acts, naming the file. */
function confirm(verb, selection, name, pinnedFile) {
  element("confirm-title").replaceChildren(`${verb}: `, breakable(selection.file));
  const ends = pinnedFile && pinnedFile !== selection.file ? ` ${pinnedFile} is pinned no longer.` : "";
  element("confirm-text").textContent = CONSEQUENCES[verb] + ends;
  element("confirm-trouble").textContent = "";
  const act = element("confirm-act");
  act.textContent = verb;
  act.onclick = async () => {
    const trouble = await select(selection, name).catch(() => "The server does not answer.");
    element("confirm-trouble").textContent = trouble ?? "";
    if (!trouble) dialog.close();
  };
  dialog.showModal();
}

/** Returns the reason if the server refuses. */
async function select(selection, name) {
  const response = await ask(ofPolicy(name, "sac/model/candidates"), selection);
  if (!response.ok) return reason(response);
  await showCandidates(name);
  return null;
}
