import { session } from "./backend.js";

const FIRST_RETRY_MS = 3_000;
const LAST_RETRY_MS = 9_000;
const OFFLINE_AFTER_MS = 10_000;

/**
 * The connection to the server, signed in as the person of the session.
 *
 * It comes back by itself, and tells in which state it is: "connecting", "connected",
 * "reconnecting", "offline" (it has not come back for a while), "refused" (only the person can try
 * again), "failed" (this browser cannot). *removed* and *ended* are called instead when the
 * session says that nothing will help.
 */
export class Connection {
  #me;
  #show;
  #removed;
  #ended;
  #wasConnected = false;
  #lostAt = Date.now();
  #restarting = false;
  #retryMs = FIRST_RETRY_MS;
  #retry;
  #left = false;

  constructor({ me, pusher: { key, host, port } }, { show, removed, ended }) {
    this.#me = me;
    this.#show = show;
    this.#removed = removed;
    this.#ended = ended;
    this.pusher = new Pusher(key, {
      wsHost: host,
      wsPort: port,
      wssPort: port,
      forceTLS: false,
      enabledTransports: ["ws", "wss"],
      cluster: "",
      userAuthentication: { endpoint: "/pusher/user-auth", transport: "ajax" },
      channelAuthorization: { endpoint: "/pusher/auth", transport: "ajax" },
    });
    this.pusher.connection.bind("state_change", ({ current }) => this.#changed(current));
    this.pusher.user.bind("pusher:signin_error", (error) => this.unauthorized(error));
    // The server closes the connection: closed from here, it might be one that is soon back.
    this.pusher.user.bind("removed", (notice) => this.#leave(() => removed(notice)));
    this.pusher.signin();
    this.#restartLater();
  }

  connect() {
    this.pusher.connect();
  }

  /** An endpoint of the backend gave no signature: ask why, or try again if it was only away. */
  unauthorized({ status }) {
    if (status === 401 || status === 403) {
      this.#explain();
    } else {
      this.#show("reconnecting");
      this.#restartLater();
    }
  }

  #changed(state) {
    if (this.#left || this.#restarting) return;
    if (state === "connected") {
      this.#wasConnected = true;
      this.#retryMs = FIRST_RETRY_MS;
      this.#stopRetrying();
      this.#lostAt = undefined;
      this.#show("connected");
    } else if (state === "disconnected") {
      this.#stopRetrying();
      this.#explain();
    } else if (state === "failed") {
      this.#show("failed");
    } else {
      this.#showTrouble();
      this.#restartLater();
    }
  }

  #showTrouble() {
    this.#lostAt ??= Date.now();
    if (Date.now() - this.#lostAt >= OFFLINE_AFTER_MS) this.#show("offline");
    else this.#show(this.#wasConnected ? "reconnecting" : "connecting");
  }

  /** pusher-js repeats a failed attempt after 15, 30 and 60 seconds only; this is sooner. */
  #restartLater() {
    if (this.#left || this.#retry !== undefined) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#restarting = true;
      this.pusher.disconnect();
      this.pusher.connect();
      this.#restarting = false;
      this.#showTrouble();
      this.#restartLater();
    }, this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
  }

  #stopRetrying() {
    clearTimeout(this.#retry);
    this.#retry = undefined;
  }

  async #explain() {
    let now;
    try {
      now = await session();
    } catch {
      this.#showTrouble();
      this.#restartLater();
      return;
    }
    if (now.me?.id !== this.#me.id) this.#leave(this.#ended);
    else if (now.removal) this.#leave(() => this.#removed(now.removal));
    else this.#show("refused");
  }

  #leave(then) {
    if (this.#left) return;
    this.#left = true;
    this.#stopRetrying();
    then();
  }
}
