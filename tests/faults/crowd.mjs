// Many pages with pusher-js in one process; each report says which page it is about.
import { createRequire } from "node:module";

import { obey, report, settings } from "../compat/js/lines.mjs";

const require = createRequire(new URL("../compat/js/", import.meta.url));
const Pusher = require("pusher-js");
const Signer = require("pusher");

const signer = new Signer({ appId: settings.id, key: settings.key, secret: settings.secret });

const pages = settings.ports.map((port, page) => {
  const pusher = new Pusher(settings.key, {
    wsHost: settings.host,
    wsPort: port,
    forceTLS: false,
    enabledTransports: ["ws"],
    cluster: "",
    channelAuthorization: {
      customHandler: ({ channelName, socketId }, callback) =>
        callback(
          null,
          signer.authorizeChannel(socketId, channelName, { user_id: `${settings.name}-${page}` }),
        ),
    },
  });
  pusher.connection.bind("state_change", ({ current }) => report({ page, state: current }));
  pusher.connection.bind("error", ({ error }) => report({ page, error: error?.data ?? null }));
  return pusher;
});

obey({
  subscribe({ channel: name }) {
    pages.forEach((pusher, page) => {
      pusher
        .subscribe(name)
        .bind("pusher:subscription_succeeded", ({ count }) => report({ page, subscribed: count }));
    });
  },
  members: ({ channel }) => pages.map((pusher) => Object.keys(pusher.channel(channel).members.members)),
});
