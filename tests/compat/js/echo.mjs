import { createServer } from "node:http";

import Echo from "laravel-echo";
import Signer from "pusher";
import Pusher from "pusher-js";

import { obey, report, settings } from "./lines.mjs";

const signer = signerWith(settings.secret);
const forger = signerWith("guessed");

function signerWith(secret) {
  const { id, key, masterKey } = settings;
  return new Signer({ appId: id, key, secret, encryptionMasterKeyBase64: masterKey });
}

/** What a Laravel application answers to these form fields. */
function authorize(path, fields) {
  const socketId = fields.get("socket_id");
  if (path === "/broadcasting/user-auth") {
    return signer.authenticateUser(socketId, settings.user);
  }
  const channel = fields.get("channel_name");
  if (settings.forbidden.includes(channel)) return null;
  const { id, user_info } = settings.user;
  const member = channel.startsWith("presence-") ? { user_id: id, user_info } : undefined;
  const chosen = settings.forged.includes(channel) ? forger : signer;
  return chosen.authorizeChannel(socketId, channel, member);
}

const application = createServer(async (request, response) => {
  let body = "";
  for await (const part of request) body += part;
  const answer = authorize(request.url, new URLSearchParams(body));
  response.writeHead(answer ? 200 : 403, { "Content-Type": "application/json" });
  response.end(JSON.stringify(answer ?? { message: "Forbidden" }));
});
await new Promise((listening) => application.listen(0, "127.0.0.1", listening));
const backend = `http://127.0.0.1:${application.address().port}`;

const echo = new Echo({
  broadcaster: settings.broadcaster,
  key: settings.key,
  wsHost: settings.host,
  wsPort: settings.port,
  wssPort: settings.port,
  forceTLS: false,
  enabledTransports: ["ws", "wss"],
  authEndpoint: `${backend}/broadcasting/auth`,
  userAuthentication: { endpoint: `${backend}/broadcasting/user-auth` },
  Pusher,
  // Reverb has none, and Echo says so itself.
  ...(settings.broadcaster === "pusher" ? { cluster: "mt1" } : {}),
});

const { pusher } = echo.connector;
echo.connector.onConnectionChange((status) => {
  report({ on: "connection", event: status, data: echo.socketId() ?? null });
});
pusher.connection.bind("error", (data) => report({ on: "connection", event: "error", data }));
pusher.connection.bind("message", ({ event }) => {
  if (event === "pusher:signin_success") report({ on: "user", event: "signed-in" });
});
pusher.user.bind_global((event, data) => report({ on: "user", event, data }));
pusher.user.watchlist.bind_global((event, data) => report({ on: "watchlist", event, data }));

const kinds = {
  channel: (name) => echo.channel(name),
  private: (name) => echo.private(name),
  encryptedPrivate: (name) => echo.encryptedPrivate(name),
  join: (name) => echo.join(name),
};

obey({
  listen({ kind, name, events, whispers }) {
    const tell = (event) => (data) => report({ on: name, event, data });
    const channel = kinds[kind](name);
    channel.subscribed(() => report({ on: name, event: "subscribed" }));
    channel.error(tell("error"));
    for (const event of events) channel.listen(event, tell(event));
    for (const whisper of whispers) channel.listenForWhisper(whisper, tell(`whisper ${whisper}`));
    if (kind === "join") {
      channel.here(tell("here")).joining(tell("joining")).leaving(tell("leaving"));
    }
  },
  whisper: ({ kind, name, whisper, data }) => void kinds[kind](name).whisper(whisper, data),
  leave: ({ name }) => echo.leave(name),
  signin: () => echo.connector.signin(),
  status: () => echo.connectionStatus(),
});
