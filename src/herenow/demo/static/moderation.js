import { avatar } from "./avatar.js";
import { get, post } from "./backend.js";
import { byId, element } from "./dom.js";

/** What an admin of a room can do. The backend checks each of it again. */
export class Moderation {
  #room;
  #member;
  #messaged;

  /** *messaged* is called with member and text when a private message is on its way. */
  constructor(limits, messaged) {
    this.#messaged = messaged;
    byId("manage-text").maxLength = limits.text;
    byId("manage-reason").maxLength = limits.reason;
    byId("manage-close").addEventListener("click", () => byId("manage").close());
    byId("manage-message").addEventListener("submit", (event) => this.#send(event));
    byId("manage-remove").addEventListener("submit", (event) => this.#remove(event));
  }

  /** From now on it is about *room*. */
  follow(room) {
    this.#room = room;
    byId("manage").close();
    byId("removals").hidden = true;
    this.refresh();
  }

  open(member) {
    const { name, admin } = member.info;
    this.#member = member;
    byId("manage-icon").replaceChildren(avatar(name));
    byId("manage-name").textContent = name;
    byId("manage-text").value = "";
    byId("manage-reason").value = "";
    byId("manage-problem").textContent = "";
    byId("manage-remove").hidden = Boolean(admin);
    byId("manage").showModal();
    byId("manage-text").focus();
  }

  /** Show whom the room keeps out. */
  async refresh() {
    const room = this.#room;
    if (!room.admin) return;
    let removals;
    try {
      ({ removals } = await get(`/removals?room=${encodeURIComponent(room.channel)}`));
    } catch {
      return; // The list stays as it was; the next change asks again.
    }
    if (room !== this.#room) return;
    byId("removals-list").replaceChildren(...removals.map((removal) => this.#removalItem(removal)));
    byId("removals").hidden = removals.length === 0;
  }

  #removalItem({ id, name, by, reason }) {
    const button = element("button", "quiet small", "Let in");
    button.type = "button";
    button.setAttribute("aria-label", `Let ${name} in`);
    const detail = element("div", "detail", `${by}: ${reason}`);
    button.addEventListener("click", async () => {
      try {
        await post("/let-in", { room: this.#room.channel, user: id });
      } catch (error) {
        detail.textContent = error.message;
        return;
      }
      this.refresh();
    });
    const lines = element("div", "lines", element("div", "line", element("span", "name", name)), detail);
    return element("li", "", avatar(name), lines, button);
  }

  async #send(event) {
    event.preventDefault();
    const text = byId("manage-text").value.trim();
    if (await this.#done("/direct-messages", { text })) this.#messaged(this.#member, text);
  }

  async #remove(event) {
    event.preventDefault();
    await this.#done("/remove", { reason: byId("manage-reason").value });
    this.refresh();
  }

  async #done(path, content) {
    const about = { room: this.#room.channel, user: this.#member.id };
    try {
      await post(path, { ...about, ...content });
    } catch (error) {
      byId("manage-problem").textContent = error.message;
      return false;
    }
    byId("manage").close();
    return true;
  }
}
