export function byId(id) {
  return document.getElementById(id);
}

/** An element with children; a string among them becomes text, never markup. */
export function element(tag, className = "", ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

/** Makes the children of *list* the *nodes*; what is there already is not touched, so it keeps the focus. */
export function arrange(list, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...list.children]) if (!wanted.has(child)) child.remove();
  nodes.forEach((node, index) => {
    if (list.children[index] !== node) list.insertBefore(node, list.children[index] ?? null);
  });
}
