// The state of the server: in the header, in the tab's title and icon, and in words.

import { element, ifChanged, make, marked } from "./dom.js";

/** Shapes as well as colours, for those who see no difference between green and red. */
const ICONS = {
  good: ["#1a7f37", "<circle cx='8' cy='8' r='7'/>"],
  warn: ["#bf8700", "<path d='M8 1 16 15H0z'/>"],
  bad: ["#cf222e", "<path d='M3 0 8 5l5-5 3 3-5 5 5 5-3 3-5-5-5 5-3-3 5-5-5-5z'/>"],
};

/** `file` is that of the policy in service. */
export function showState(kind, text, file) {
  ifChanged("state", [kind, text, file], () => {
    element("state").className = `pill ${kind}`;
    element("state").textContent = text;
    document.title = [text, file, "sac-serving"].filter(Boolean).join(" · ");
    const [colour, shape] = ICONS[kind];
    const icon = `<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16' fill='${colour}'>${shape}</svg>`;
    element("icon").href = `data:image/svg+xml,${encodeURIComponent(icon)}`;
  });
}

/** Shows paragraphs and lists that say what is wrong and what to do; without any, nothing. */
export function showNotice(kind, ...parts) {
  ifChanged("notice", [kind, parts], () => {
    const shown = element("notice");
    shown.hidden = parts.length === 0;
    shown.className = kind;
    shown.replaceChildren(...parts.map((part) => {
      if (Array.isArray(part)) return make("ul", {}, ...part.map((item) => make("li", {}, ...marked(item))));
      return make("p", {}, ...marked(part));
    }));
  });
}

/** Greys the page, which shows the past then, and stops its buttons. */
export function setGone(isGone) {
  document.body.classList.toggle("gone", isGone);
  for (const button of document.querySelectorAll("#sections button")) button.disabled = isGone;
}
