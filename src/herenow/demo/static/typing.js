import { byId } from "./dom.js";

const EVENT = "client-typing";
const REPEAT_MS = 2_000;
const FORGET_MS = 4_000;

/** Who is typing in the room: told from page to page, without the backend. */
export class Typing {
  #me;
  #channel;
  #typists = new Map();
  #told = 0;

  constructor(me) {
    this.#me = me;
  }

  /** From now on it is about *channel*. */
  follow(channel) {
    this.tell(false);
    this.#channel = channel;
    this.#told = 0;
    for (const id of [...this.#typists.keys()]) this.forget(id);
    // The server says whose event it is; what the page of the other claims does not matter.
    channel.bind(EVENT, (typing, { user_id: id }) => {
      if (channel !== this.#channel || id === this.#me.id) return;
      if (typing === true && channel.members.get(id)) this.#remember(id);
      else this.forget(id);
    });
  }

  /** Tell the others that something is being written, or no longer. */
  tell(typing) {
    if (!this.#channel?.subscribed) return;
    const now = Date.now();
    if (typing ? now - this.#told < REPEAT_MS : this.#told === 0) return;
    this.#told = typing ? now : 0;
    this.#channel.trigger(EVENT, typing);
  }

  forget(id) {
    clearTimeout(this.#typists.get(id));
    this.#typists.delete(id);
    this.#show();
  }

  #remember(id) {
    clearTimeout(this.#typists.get(id));
    this.#typists.set(id, setTimeout(() => this.forget(id), FORGET_MS));
    this.#show();
  }

  #show() {
    const names = [...this.#typists.keys()]
      .map((id) => this.#channel?.members.get(id)?.info.name)
      .filter(Boolean);
    byId("typing").textContent = sentence(names);
  }
}

function sentence(names) {
  if (names.length === 0) return "";
  if (names.length === 1) return `${names[0]} is typing…`;
  if (names.length === 2) return `${names[0]} and ${names[1]} are typing…`;
  return "Several people are typing…";
}
