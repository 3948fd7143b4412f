import { avatar } from "./avatar.js";
import { post, session as askForSession } from "./backend.js";
import { Connection } from "./connection.js";
import { Conversation } from "./conversation.js";
import { byId, element } from "./dom.js";
import { Friends } from "./friends.js";
import { Moderation } from "./moderation.js";
import { Roster } from "./roster.js";
import { show, showEnded, showRemoved, showWelcome, signOut } from "./screens.js";
import { Typing } from "./typing.js";

const STATE_WORDS = {
  connecting: "Connecting…",
  connected: "Connected",
  reconnecting: "Connection lost. Reconnecting…",
  offline: "Offline. Still trying to reach the server…",
  refused: "The server refused this connection.",
  failed: "This browser cannot connect.",
};
const HINTS = {
  true: "Business room: the backend says who people are here.",
  false: "Hobby room: people are as they signed in.",
};

const session = await askForSession();
if (!session.me) showWelcome(session);
else if (session.removal) showRemoved(session.removal);
else showChat(session);

function showChat({ me, rooms, friends, limits }) {
  const conversations = new Map(rooms.map(({ channel }) => [channel, new Conversation(me)]));
  const typing = new Typing(me);
  const moderation = new Moderation(limits, (member, text) =>
    conversationHere().addPrivate(`You to ${member.info.name}`, { text, sentAt: Date.now() }),
  );
  const roster = new Roster(me, (member) => moderation.open(member));
  let current;
  let lostAt;

  const connection = new Connection(session, {
    show: showState,
    removed: showRemoved,
    ended: showEnded,
  });
  const { pusher } = connection;
  new Friends(friends).listenTo(pusher);
  pusher.user.bind("direct-message", (message) => {
    const { name, room } = message.from;
    conversationHere().addPrivate(`${name}, admin of ${room}, to you`, message);
  });

  function conversationHere() {
    return conversations.get(current.channel);
  }

  function showState(state) {
    const line = byId("state");
    line.dataset.state = state;
    line.textContent = STATE_WORDS[state];
    byId("connect-again").hidden = state !== "refused";
    byId("chat").dataset.live = String(state === "connected");
    if (state !== "connected") {
      lostAt ??= Date.now();
    } else if (lostAt !== undefined) {
      if (current.entered) sayConnectedAgain(Date.now() - lostAt);
      lostAt = undefined;
    }
  }

  function sayConnectedAgain(awayMs) {
    const seconds = Math.max(1, Math.round(awayMs / 1_000));
    const away = seconds === 1 ? "1 second" : `${seconds} seconds`;
    conversationHere().addNote(
      `Connected again after ${away}. What was said meanwhile is not shown.`,
    );
  }

  function enterRoom(room) {
    if (room === current) return;
    if (current) pusher.unsubscribe(current.channel);
    current = room;
    room.entered = false;
    document.title = `${room.title} · herenow demo`;
    byId("room-title").textContent = room.title;
    byId("room-hint").textContent = HINTS[room.business];
    byId("problem").textContent = "";
    for (const link of byId("rooms").querySelectorAll("a")) {
      if (link.hash === `#${room.channel}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    conversationHere().show();
    roster.show([], false);
    moderation.follow(room);

    const channel = pusher.subscribe(room.channel);
    channel.unbind();
    typing.follow(channel);
    const conversation = conversationHere();
    const here = (listener) => (event) => current === room && listener(event);
    const refresh = () => roster.show(membersOf(channel), room.admin);
    channel.bind("pusher:subscription_succeeded", here(() => {
      room.entered = true;
      byId("problem").textContent = "";
      refresh();
    }));
    channel.bind("pusher:member_added", here((member) => {
      refresh();
      conversation.addNote(`${member.info.name} joined`);
    }));
    channel.bind("pusher:member_removed", here((member) => {
      refresh();
      typing.forget(member.id);
      conversation.addNote(`${member.info.name} left`);
    }));
    channel.bind("message", here((message) => {
      typing.forget(message.from.id);
      conversation.addMessage(message);
    }));
    channel.bind("moderation", here(({ what, name, by }) => {
      conversation.addNote(
        what === "removed" ? `${by} removed ${name} from the chat` : `${by} let ${name} in again`,
      );
      moderation.refresh();
    }));
    channel.bind("pusher:subscription_error", here((error) => {
      if (error.type === "AuthError") connection.unauthorized(error);
      else byId("problem").textContent = `You could not enter this room: ${error.error}`;
    }));
  }

  async function sendMessage(event) {
    event.preventDefault();
    const box = byId("text");
    const text = box.value.trim();
    if (text === "") return;
    byId("problem").textContent = "";
    try {
      await post("/messages", { room: current.channel, text });
    } catch (error) {
      if (error.status === 401 || error.status === 403) connection.unauthorized(error);
      byId("problem").textContent = error.message;
      return;
    }
    if (box.value.trim() === text) box.value = "";
    typing.tell(false);
    box.focus();
  }

  function showView(view) {
    byId("chat").dataset.view = view;
    if (view === "conversation") conversationHere().show();
    for (const button of byId("tabs").children) {
      button.setAttribute("aria-pressed", String(button.dataset.view === view));
    }
  }

  function roomOfAddress() {
    const channel = location.hash.slice(1);
    return rooms.find((room) => room.channel === channel) ?? rooms[0];
  }

  byId("me").append(avatar(me.name), element("span", "name", me.name));
  byId("text").maxLength = limits.text;
  byId("text").addEventListener("input", (event) => typing.tell(event.target.value.trim() !== ""));
  byId("text").addEventListener("keydown", sendOnEnter);
  byId("composer").addEventListener("submit", sendMessage);
  byId("connect-again").addEventListener("click", () => connection.connect());
  byId("sign-out").addEventListener("click", async () => {
    try {
      await signOut();
    } catch (error) {
      byId("problem").textContent = error.message;
    }
  });
  for (const button of byId("tabs").children) {
    button.addEventListener("click", () => showView(button.dataset.view));
  }
  window.addEventListener("hashchange", () => {
    enterRoom(roomOfAddress());
    showView("conversation");
  });
  byId("rooms").append(...linksTo(rooms));
  show("chat");
  enterRoom(roomOfAddress());
}

function membersOf(channel) {
  const members = [];
  channel.members.each((member) => members.push(member));
  return members;
}

function linksTo(rooms) {
  return [true, false].flatMap((business) => {
    const links = rooms
      .filter((room) => room.business === business)
      .map((room) => {
        const link = element("a", "", room.title);
        link.href = `#${room.channel}`;
        return element("li", "", link);
      });
    return [element("h2", "", business ? "Business" : "Hobbies"), element("ul", "", ...links)];
  });
}

function sendOnEnter(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  event.target.form.requestSubmit();
}
