import { avatar } from "./avatar.js";
import { post, session } from "./backend.js";
import { byId, element } from "./dom.js";

const LOOK_MS = 5_000;
const SCREENS = ["welcome", "removed", "ended", "chat"];

const otherTabs = new BroadcastChannel("session");
otherTabs.addEventListener("message", () => location.reload());

/** Show one of the screens and hide the others. */
export function show(name) {
  byId("manage").close();
  for (const screen of SCREENS) byId(screen).hidden = screen !== name;
}

/** Who the person is has changed, in this tab and thus in all others. */
function changed() {
  otherTabs.postMessage("changed");
  location.reload();
}

export function showWelcome({ people, limits }) {
  const items = people.map((person) => {
    const lines = element(
      "span",
      "lines",
      element("span", "name", person.name),
      element("span", "detail", person.likes),
    );
    const button = element("button", "person", avatar(person.name), lines);
    button.type = "button";
    button.setAttribute("aria-label", person.name);
    button.addEventListener("click", () => signIn({ person: person.id }));
    return element("li", "", button);
  });
  byId("people").replaceChildren(...items);
  byId("name").maxLength = limits.name;
  byId("guest").addEventListener("submit", (event) => {
    event.preventDefault();
    signIn({ name: byId("name").value });
  });
  show("welcome");
}

async function signIn(choice) {
  try {
    await post("/sign-in", choice);
  } catch (error) {
    byId("welcome-problem").textContent = error.message;
    return;
  }
  changed();
}

export async function signOut() {
  await post("/sign-out");
  changed();
}

export function showRemoved({ by, room, reason }) {
  document.title = "Removed · herenow demo";
  byId("removed-by").textContent = `${by}, an admin of ${room}, gave this reason:`;
  byId("removed-reason").textContent = reason;
  byId("removed-until").textContent =
    `An admin of ${room} can let you in again. This page looks every few seconds and then comes ` +
    "back by itself.";
  byId("removed-look").onclick = look;
  setInterval(look, LOOK_MS);
  show("removed");
}

async function look() {
  let now;
  try {
    now = await session();
  } catch {
    return; // The chat is away; the next look may find it.
  }
  if (!now.removal) location.reload();
}

export function showEnded() {
  document.title = "Session ended · herenow demo";
  byId("ended-again").onclick = () => location.reload();
  show("ended");
}
