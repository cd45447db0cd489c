// Changes the document as little as possible: the user may be selecting a text, or have the focus on a link.

export const element = (id) => document.getElementById(id);

/** Makes an element. A string becomes text, never markup. */
export function make(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function write(shown, text) {
  if (shown.textContent !== text) shown.replaceChildren(breakable(text));
}

/** Text that breaks after the separators of names and paths, rather than within words. */
export function breakable(text) {
  const parts = document.createDocumentFragment();
  String(text).split(/(?<=[/_.:,{-])(?=\w)/).forEach((part, place) => {
    if (place > 0) parts.append(document.createElement("wbr"));
    parts.append(part);
  });
  return parts;
}

/** Returns text with the long choices of a glob cut short. */
export const shortened = (text) => text.replace(/\{([^{},]+,[^{},]+,[^{},]+),[^{}]+\}/g, "{$1,…}");

/** Text in which that between backquotes is code. */
export const marked = (text) => text.split("`").map((part, place) => (place % 2 ? make("code", {}, breakable(part)) : breakable(part)));

/** Names up to this length stand in one line, however wide the next column is. */
const SHORT_NAME = 32;

/** A cell with the name of a file. */
export function nameCell(name, title = "") {
  return make("td", { className: name.length <= SHORT_NAME ? "name" : "", title }, breakable(name));
}

/** Shows terms and descriptions in a `dl`. Those of the terms in `long` are cut, and can be copied. */
export function list(id, entries, long = []) {
  const texts = entries.flat().map(String);
  const shown = element(id);
  if (shown.children.length !== texts.length) {
    shown.replaceChildren(...texts.map((_, place) => document.createElement(place % 2 ? "dd" : "dt")));
  }
  texts.forEach((text, place) => {
    const isCut = place % 2 === 1 && long.includes(texts[place - 1]);
    if (isCut) return writeCut(shown.children[place], texts[place - 1], text);
    Object.assign(shown.children[place], { className: "", title: "" });
    write(shown.children[place], text);
  });
}

/** Shows a text that is cut where its line ends, and a button that copies the whole. */
function writeCut(shown, term, text) {
  if (shown.title === text) return;
  const button = make("button", { type: "button", ariaLabel: `Copy the ${term}` }, "Copy");
  button.addEventListener("click", async () => {
    button.textContent = (await copy(text)) ? "Copied" : "Not copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  shown.className = "cut";
  shown.title = text;
  shown.replaceChildren(make("span", {}, text), button);
}

/** Copies a text. The clipboard of the browser takes a secure address, which a server without TLS has on its own machine alone. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = make("textarea", { value: text });
    document.body.append(area);
    area.select();
    const isCopied = document.execCommand("copy");
    area.remove();
    return isCopied;
  }
}

/** Calls `show` if the value is another than the last one that was shown by the same name. */
const shown = new Map();
export function ifChanged(name, value, show) {
  const text = JSON.stringify(value);
  if (shown.get(name) === text) return;
  shown.set(name, text);
  show();
}
