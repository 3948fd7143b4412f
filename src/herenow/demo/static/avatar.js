import { element } from "./dom.js";

/** An icon drawn from the name alone: initials on a colour that the name decides. */
export function avatar(name) {
  const node = element("span", "avatar", initials(name));
  node.style.setProperty("--hue", String(hue(name)));
  node.setAttribute("aria-hidden", "true");
  return node;
}

function initials(name) {
  const words = name.split(/[\s-]+/u).filter(Boolean);
  const chosen = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return chosen.map((word) => [...word][0].toLocaleUpperCase()).join("");
}

function hue(name) {
  let sum = 7;
  for (const character of name) sum = (sum * 41 + character.codePointAt(0)) % 9973;
  return (sum * 118) % 360;
}
