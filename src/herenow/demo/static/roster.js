import { avatar } from "./avatar.js";
import { arrange, byId, element } from "./dom.js";

/** The list of who is in the room. *manage* is called for a member whom the admin picks. */
export class Roster {
  #me;
  #manage;
  #rows = new Map();

  constructor(me, manage) {
    this.#me = me;
    this.#manage = manage;
  }

  /** *mayManage*: whether to offer that; the backend decides whether it is done. */
  show(members, mayManage) {
    const sorted = members.toSorted(
      (a, b) =>
        this.#isMe(b) - this.#isMe(a) ||
        Boolean(b.info.admin) - Boolean(a.info.admin) ||
        a.info.name.localeCompare(b.info.name),
    );
    const rows = new Map(sorted.map((member) => [member.id, this.#row(member, mayManage)]));
    this.#rows = rows;
    arrange(byId("members"), [...rows.values()].map(({ item }) => item));
    for (const id of ["count", "tab-count"]) byId(id).textContent = String(members.length);
  }

  #isMe(member) {
    return member.id === this.#me.id;
  }

  #row(member, mayManage) {
    const manageable = mayManage && !this.#isMe(member);
    const seen = JSON.stringify([member.info, manageable]);
    const known = this.#rows.get(member.id);
    return known?.seen === seen ? known : { seen, item: this.#item(member, manageable) };
  }

  #item(member, manageable) {
    const { name, job, likes, admin, guest } = member.info;
    const title = element("span", "name", name);
    const marks = [];
    if (this.#isMe(member)) marks.push(element("span", "hint", "you"));
    if (admin) marks.push(element("span", "badge", "Admin"));
    const lines = element("div", "lines", element("div", "line", title, ...marks));
    const detail = [job || likes, guest && "guest"].filter(Boolean).join(" · ");
    if (detail) lines.append(element("div", "detail", detail));
    const item = element("li", "", avatar(name), lines);
    if (manageable) {
      const button = element("button", "quiet small", "Manage");
      button.type = "button";
      button.setAttribute("aria-label", `Manage ${name}`);
      button.addEventListener("click", () => this.#manage(member));
      item.append(button);
    }
    return item;
  }
}
