// One person at the chat, with pusher-js in place of a page.
import { createRequire } from "node:module";

import { obey, report, settings } from "../compat/js/lines.mjs";

const require = createRequire(new URL("../compat/package.json", import.meta.url));
const Pusher = require("pusher-js");
const { url, person, bindings } = settings;

let cookie = "";

async function send(method, path, headers = {}, body = undefined) {
  return fetch(url + path, { method, headers: { Cookie: cookie, ...headers }, body });
}

function sendJson(method, path, content) {
  return send(method, path, { "Content-Type": "application/json" }, JSON.stringify(content));
}

async function logIn() {
  const response = await sendJson("POST", "/session", { person });
  cookie = response.headers.get("set-cookie").split(";")[0];
}

function asker(path) {
  return async ({ socketId, channelName }, callback) => {
    const form = new URLSearchParams({ socket_id: socketId });
    if (channelName) form.set("channel_name", channelName);
    const response = await send("POST", path, {}, form);
    if (response.ok) callback(null, await response.json());
    else callback(new Error(`${response.status}`), null);
  };
}

await logIn();
const known = await (await send("GET", "/session")).json();
const { key, host, port } = known.pusher;
const pusher = new Pusher(key, {
  wsHost: host,
  wsPort: port,
  forceTLS: false,
  enabledTransports: ["ws", "wss"],
  cluster: "",
  userAuthentication: { customHandler: asker("/pusher/user-auth") },
  channelAuthorization: { customHandler: asker("/pusher/auth") },
});
pusher.connection.bind("state_change", ({ current }) => report({ on: "connection", state: current }));
pusher.connection.bind("message", ({ event }) => {
  if (event === "pusher:signin_success") report({ on: "user", event: "signed-in" });
});
pusher.signin();

const addNote = (_room, text) => report({ on: "notes", text });
new Function("pusher", "addNote", "current", bindings)(pusher, addNote, null);

obey({
  subscribe({ channel: name }) {
    const channel = pusher.subscribe(name);
    channel.bind_global((event, data) => report({ on: name, event, data }));
  },
  unsubscribe: ({ channel }) => pusher.unsubscribe(channel),
  me: ({ channel }) => pusher.channel(channel).members.me,
  post: async ({ path, content }) => (await sendJson("POST", path, content)).status,
  remove: async ({ path }) => (await send("DELETE", path)).status,
});
