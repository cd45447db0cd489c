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

/** Text in which a choice of many, as in a glob, is cut short. */
export const shortened = (text) => text.replace(/\{([^{},]+,[^{},]+,[^{},]+),[^{}]+\}/g, "{$1,…}");

/** Text in which that between backquotes is code. */
export const marked = (text) => text.split("`").map((part, place) => (place % 2 ? make("code", {}, breakable(part)) : breakable(part)));

/** Shows terms and descriptions in a `dl`. The terms in `long` have descriptions of one line, cut where it ends. */
export function list(id, entries, long = []) {
  const texts = entries.flat().map(String);
  const shown = element(id);
  if (shown.children.length !== texts.length) {
    shown.replaceChildren(...texts.map((_, place) => document.createElement(place % 2 ? "dd" : "dt")));
  }
  texts.forEach((text, place) => {
    write(shown.children[place], text);
    const isCut = place % 2 === 1 && long.includes(texts[place - 1]);
    shown.children[place].className = isCut ? "cut" : "";
    shown.children[place].title = isCut ? text : "";
  });
}

/** Calls `show` if the value is another than the last one that was shown by the same name. */
const shown = new Map();
export function ifChanged(name, value, show) {
  const text = JSON.stringify(value);
  if (shown.get(name) === text) return;
  shown.set(name, text);
  show();
}
