// The table of swaps and refusals. Those of a policy of a root have no duration.

import { breakable, element, ifChanged, make } from "./dom.js";
import { duration, fileName, moment } from "./format.js";

export function showSwaps(swaps) {
  ifChanged("swaps", swaps, () => {
    element("swaps").replaceChildren(...swaps.map(row));
    element("no-swaps").hidden = swaps.length > 0;
  });
}

function row({ at_utc, path, generation, detail, duration_ms }) {
  const isRefused = generation === null;
  const outcome = isRefused ? `refused: ${detail}` : `in service, generation ${generation}`;
  return make(
    "tr", {},
    make("td", { title: at_utc }, moment(at_utc)),
    make("td", { title: path }, breakable(fileName(path))),
    make("td", { className: isRefused ? "bad" : "good" }, breakable(outcome)),
    make("td", {}, duration_ms === undefined ? "" : duration(duration_ms)),
  );
}
