import { avatar } from "./avatar.js";
import { arrange, byId, element } from "./dom.js";

/** The people of the watchlist: the server tells when one of them comes online or goes. */
export class Friends {
  #friends;
  #online = new Set();

  constructor(friends) {
    this.#friends = friends.map((friend) => ({ ...friend, item: itemOf(friend) }));
    this.#show();
  }

  listenTo({ user, connection }) {
    user.watchlist.bind("online", ({ user_ids: ids }) => {
      for (const id of ids) this.#online.add(id);
      this.#show();
    });
    user.watchlist.bind("offline", ({ user_ids: ids }) => {
      for (const id of ids) this.#online.delete(id);
      this.#show();
    });
    // Who is online is told anew at each sign-in.
    connection.bind("connected", () => {
      this.#online.clear();
      this.#show();
    });
  }

  #show() {
    for (const { id, item } of this.#friends) {
      const online = this.#online.has(id);
      item.dataset.online = String(online);
      item.querySelector(".hint").textContent = online ? "online" : "offline";
    }
    const rank = ({ id }) => Number(!this.#online.has(id));
    const sorted = this.#friends.toSorted(
      (a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name),
    );
    arrange(byId("friends"), sorted.map(({ item }) => item));
    byId("friends-count").textContent = String(this.#online.size);
  }
}

function itemOf({ name }) {
  const line = element("span", "name", name);
  return element("li", "", avatar(name), line, element("span", "hint"));
}
