const MAX_LOG_ENTRIES = 500;
const STATE_WORDS = {
  connecting: "Connecting…",
  connected: "Connected",
  reconnecting: "Reconnecting…",
  disconnected: "Disconnected",
  failed: "This browser cannot connect",
};
const KIND_TITLES = { business: "Business", hobby: "Hobby" };

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const tabs = new BroadcastChannel("session");
const session = await (await fetch("session")).json();
const rooms = new Map(session.rooms.map((room) => [room.channel, room]));
const logs = new Map(session.rooms.map((room) => [room.channel, element("ol")]));

let pusher;
let current;

function byId(id) {
  return document.getElementById(id);
}

function element(tag, className = "", ...children) {
  const node = document.createElement(tag);
  node.className = className;
  node.append(...children);
  return node;
}

function avatar(person) {
  const node = element("span", "avatar", [...person.name][0].toUpperCase());
  node.dataset.colour = person.colour;
  node.setAttribute("aria-hidden", "true");
  return node;
}

async function send(method, path, body) {
  const response = await fetch(path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (response.status === 401) location.reload();
  if (!response.ok) throw new Error(await response.text());
}

function showWelcome() {
  for (const person of session.people) {
    const button = element("button", "person", avatar(person), element("span", "", person.name));
    button.type = "button";
    button.addEventListener("click", () => signIn(person));
    byId("people").append(element("li", "", button));
  }
  byId("welcome").hidden = false;
}

async function signIn(person) {
  try {
    await send("POST", "session", { person: person.id });
  } catch (error) {
    byId("welcome-problem").textContent = error.message;
    return;
  }
  tabs.postMessage("changed");
  location.reload();
}

async function signOut() {
  try {
    await send("DELETE", "session");
  } catch (error) {
    byId("problem").textContent = error.message;
    return;
  }
  tabs.postMessage("changed");
  location.reload();
}

function connect() {
  const { key, host, port } = session.pusher;
  pusher = new Pusher(key, {
    wsHost: host,
    wsPort: port,
    wssPort: port,
    forceTLS: false,
    enabledTransports: ["ws", "wss"],
    cluster: "",
    userAuthentication: { endpoint: "pusher/user-auth", transport: "ajax" },
    channelAuthorization: { endpoint: "pusher/auth", transport: "ajax" },
  });
  let everConnected = false;
  pusher.connection.bind("state_change", ({ current: state }) => {
    everConnected ||= state === "connected";
    if (state === "unavailable" || (state === "connecting" && everConnected)) {
      showState("reconnecting");
    } else {
      showState(state);
    }
  });
  pusher.user.bind("pusher:signin_error", refused);
  pusher.signin();
}

function refused(error) {
  if (error.status === 401) location.reload();
  else byId("problem").textContent = "You could not enter this room.";
}

function showState(state) {
  const line = byId("state");
  line.dataset.state = state;
  line.textContent = STATE_WORDS[state] ?? STATE_WORDS.connecting;
  byId("reconnect").hidden = state !== "disconnected";
  byId("chat").dataset.live = String(state === "connected");
}

function showRooms() {
  for (const [kind, title] of Object.entries(KIND_TITLES)) {
    const list = element("ul");
    for (const room of rooms.values()) {
      if (room.kind !== kind) continue;
      const link = element("a", "", room.title);
      link.href = `#${room.channel}`;
      list.append(element("li", "", link));
    }
    byId("rooms").append(element("h2", "", title), list);
  }
}

function roomOfAddress() {
  const channel = location.hash.slice(1);
  return rooms.get(channel) ?? session.rooms[0];
}

function enterRoom(room) {
  if (current) pusher.unsubscribe(current.channel);
  current = room;
  document.title = `${room.title} · Chat`;
  byId("room-title").textContent = room.title;
  byId("problem").textContent = "";
  for (const link of byId("rooms").querySelectorAll("a")) {
    if (link.hash === `#${room.channel}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  byId("log").replaceChildren(logs.get(room.channel));
  showMembers([]);

  const channel = pusher.subscribe(room.channel);
  const here = (handler) => (event) => current === room && handler(event);
  const refresh = () => showMembers(membersOf(channel));
  channel.unbind();
  channel.bind("pusher:subscription_succeeded", here(refresh));
  channel.bind("pusher:member_added", here((member) => {
    refresh();
    addNote(room, `${member.info.name} joined`);
  }));
  channel.bind("pusher:member_removed", here((member) => {
    refresh();
    addNote(room, `${member.info.name} left`);
  }));
  channel.bind("message", here((message) => addMessage(room, message)));
  channel.bind("pusher:subscription_error", here(refused));
}

function membersOf(channel) {
  const members = [];
  channel.members.each((member) => members.push(member));
  const isMe = (member) => member.id === session.me.id;
  return members.sort((a, b) => isMe(b) - isMe(a) || a.info.name.localeCompare(b.info.name));
}

function showMembers(members) {
  byId("count").textContent = String(members.length);
  byId("members").replaceChildren(...members.map((member) => {
    const item = element("li", "", avatar(member.info), element("span", "name", member.info.name));
    item.dataset.member = member.id;
    if (member.id === session.me.id) item.append(element("span", "hint", "you"));
    if (member.info.admin) item.append(element("span", "badge", "Admin"));
    return item;
  }));
}

function addNote(room, text) {
  addEntry(room, element("li", "note", text));
}

function addMessage(room, message) {
  const sentAt = new Date(message.sentAt);
  const time = element("time", "", clock.format(sentAt));
  time.dateTime = sentAt.toISOString();
  const body = element(
    "div",
    "body",
    element("p", "from", element("span", "name", message.from.name), " ", time),
    element("p", "text", message.text),
  );
  const mine = message.from.id === session.me.id ? " mine" : "";
  addEntry(room, element("li", `message${mine}`, avatar(message.from), body));
}

function addEntry(room, entry) {
  const view = byId("log");
  const atEnd = view.scrollHeight - view.scrollTop - view.clientHeight < 40;
  const log = logs.get(room.channel);
  log.append(entry);
  while (log.children.length > MAX_LOG_ENTRIES) log.firstElementChild.remove();
  if (atEnd) view.scrollTop = view.scrollHeight;
}

async function sendMessage(event) {
  event.preventDefault();
  const box = byId("text");
  const text = box.value.trim();
  if (text === "") return;
  byId("problem").textContent = "";
  try {
    await send("POST", "messages", { room: current.channel, text });
  } catch (error) {
    byId("problem").textContent = error.message;
    return;
  }
  if (box.value.trim() === text) box.value = "";
  box.focus();
}

function sendOnEnter(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId("composer").requestSubmit();
}

function showChat() {
  byId("me").append(avatar(session.me), element("span", "name", session.me.name));
  byId("text").maxLength = session.maxTextLength;
  byId("composer").addEventListener("submit", sendMessage);
  byId("text").addEventListener("keydown", sendOnEnter);
  byId("sign-out").addEventListener("click", signOut);
  byId("reconnect").addEventListener("click", () => pusher.connect());
  window.addEventListener("hashchange", () => enterRoom(roomOfAddress()));
  byId("chat").hidden = false;
  showRooms();
  connect();
  enterRoom(roomOfAddress());
}

tabs.addEventListener("message", () => location.reload());
if (session.me) showChat();
else showWelcome();
