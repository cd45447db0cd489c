// The table of swaps and refusals.

import { breakable, element, ifChanged, make, nameCell } from "./dom.js";
import { duration, moment } from "./format.js";

/** `hasMany` says that they are of several policies, whose names are shown then. */
export function showSwaps(swaps, hasMany) {
  ifChanged("swaps", [swaps, hasMany], () => {
    element("swaps").replaceChildren(...swaps.map((swap) => row(swap, hasMany)));
    element("no-swaps").hidden = swaps.length > 0;
    element("swaps").closest(".scroll").hidden = swaps.length === 0;
  });
}

function row({ at_utc, path, generation, detail, duration_ms }, hasMany) {
  const name = path.split("/").slice(hasMany ? -2 : -1).join("/");
  const isRefused = generation === null;
  const outcome = isRefused ? `refused: ${detail}` : `in service, generation ${generation}`;
  return make(
    "tr", {},
    make("td", { title: at_utc }, moment(at_utc)),
    nameCell(name, path),
    make("td", { className: isRefused ? "bad" : "good" }, breakable(outcome)),
    make("td", {}, duration(duration_ms)),
  );
}
