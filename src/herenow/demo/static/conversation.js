import { avatar } from "./avatar.js";
import { byId, element } from "./dom.js";

const MAX_ENTRIES = 500;
const SAME_BREATH_MS = 5 * 60 * 1_000;
const AT_END_PX = 40;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

let atEnd = true;

// Where the end was in view, it stays there: when something is added, or the keyboard of a phone
// takes half of the screen.
byId("log").addEventListener("scroll", ({ target }) => {
  atEnd = target.scrollHeight - target.scrollTop - target.clientHeight < AT_END_PX;
});
new ResizeObserver(() => atEnd && showEnd()).observe(byId("log"));

function showEnd() {
  const view = byId("log");
  view.scrollTop = view.scrollHeight;
}

/** What was said in one room, while this page was there. */
export class Conversation {
  #me;
  #list = element("ol");
  #last;

  constructor(me) {
    this.#me = me;
  }

  show() {
    byId("log").replaceChildren(this.#list);
    showEnd();
  }

  addNote(text) {
    this.#last = undefined;
    this.#add(element("li", "note", text));
  }

  addMessage({ from, text, sentAt }) {
    const mine = from.id === this.#me.id;
    const again = this.#last?.id === from.id && sentAt - this.#last.sentAt < SAME_BREATH_MS;
    this.#last = { id: from.id, sentAt };
    const body = element("div", "body", element("p", "text", text));
    const entry = element("li", "message", avatar(from.name), body);
    if (mine) entry.classList.add("mine");
    if (again) entry.classList.add("again");
    const name = element("span", "name", mine ? "You" : from.name);
    const head = element("p", "from", name, " ", timeOf(sentAt));
    if (again) head.classList.add("visually-hidden");
    body.prepend(head);
    this.#add(entry);
  }

  /** A message that nobody else sees; *title* says between whom. */
  addPrivate(title, { text, sentAt }) {
    this.#last = undefined;
    const head = element("p", "from", element("span", "name", title), " ", timeOf(sentAt));
    this.#add(element("li", "private", head, element("p", "text", text)));
  }

  #add(entry) {
    this.#list.append(entry);
    while (this.#list.children.length > MAX_ENTRIES) this.#list.firstElementChild.remove();
    if (atEnd) showEnd();
  }
}

function timeOf(sentAt) {
  const moment = new Date(sentAt);
  const time = element("time", "", clock.format(moment));
  time.dateTime = moment.toISOString();
  return time;
}
