import { createRequire } from "node:module";

import Signer from "pusher";

import { obey, report, settings } from "./lines.mjs";

// Newer Node.js has it, and pusher-js 4 asks it whether this is React Native.
globalThis.navigator ??= {};

const require = createRequire(import.meta.url);
const Pusher = require(settings.library);

const signer = signerWith(settings.secret);
const forger = signerWith("guessed");

function signerWith(secret) {
  const { id, key, masterKey } = settings;
  return new Signer({ appId: id, key, secret, encryptionMasterKeyBase64: masterKey });
}

function authorize(channel, socketId, callback) {
  const chosen = settings.forged.includes(channel) ? forger : signer;
  callback(null, chosen.authorizeChannel(socketId, channel, settings.members[channel]));
}

const options = {
  wsHost: settings.host,
  wsPort: settings.port,
  wssPort: settings.port,
  forceTLS: false,
  enabledTransports: ["ws", "wss"],
  cluster: "",
};
if ("signin" in Pusher.prototype) {
  options.channelAuthorization = {
    customHandler: ({ channelName, socketId }, callback) =>
      authorize(channelName, socketId, callback),
  };
  options.userAuthentication = {
    customHandler: ({ socketId }, callback) =>
      callback(null, signer.authenticateUser(socketId, settings.user)),
  };
} else {
  options.disableStats = true;
  options.authorizer = ({ name }) => ({
    authorize: (socketId, callback) => authorize(name, socketId, callback),
  });
}

const pusher = new Pusher(settings.key, options);

pusher.connection.bind("state_change", ({ current }) =>
  report({ on: "connection", event: current, socket_id: pusher.connection.socket_id }),
);
pusher.connection.bind("error", (error) =>
  report({ on: "connection", event: "error", data: error }),
);
pusher.connection.bind("message", ({ event }) => {
  if (event === "pusher:signin_success") report({ on: "user", event: "signed-in" });
});
pusher.user?.bind_global((event, data) => report({ on: "user", event, data }));
pusher.user?.watchlist?.bind_global((event, data) => report({ on: "watchlist", event, data }));

obey({
  subscribe({ channel: name, listen }) {
    const channel = pusher.subscribe(name);
    channel.bind_global((event, data) => report({ on: name, event, data }));
    for (const event of listen) {
      channel.bind(event, (data, metadata) =>
        report({ on: name, heard: event, data, user_id: metadata?.user_id ?? null }),
      );
    }
  },
  unsubscribe: ({ channel }) => pusher.unsubscribe(channel),
  signin: () => pusher.signin(),
  trigger: ({ channel, event, data }) => pusher.channel(channel).trigger(event, data),
  members({ channel }) {
    const { count, me, members } = pusher.channel(channel).members;
    return { count, me, members };
  },
  offers: ({ name }) => name in pusher,
  connect: () => pusher.connect(),
  state: () => pusher.connection.state,
});
