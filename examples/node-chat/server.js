import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import express from "express";
import Pusher from "pusher";

const {
  PUSHER_APP_ID = "1",
  PUSHER_APP_KEY = "herenow-key",
  PUSHER_APP_SECRET = "herenow-secret",
  PUSHER_HOST = "127.0.0.1",
  PUSHER_PORT = "6001",
  PORT = "8000",
  SESSION_SECRET = randomBytes(32).toString("hex"),
} = process.env;

const PEOPLE = new Map(
  [
    { id: "emily", name: "Emily", colour: "violet", admin: true },
    { id: "john", name: "John", colour: "blue", admin: false },
    { id: "ada", name: "Ada", colour: "teal", admin: false },
    { id: "kenji", name: "Kenji", colour: "amber", admin: false },
    { id: "lucia", name: "Lucía", colour: "rose", admin: false },
    { id: "noor", name: "Noor", colour: "green", admin: false },
  ].map((person) => [person.id, person]),
);

const ROOMS = new Map(
  [
    { channel: "presence-business-sales", title: "Sales", kind: "business" },
    { channel: "presence-business-support", title: "Support", kind: "business" },
    { channel: "presence-gaming", title: "Gaming", kind: "hobby" },
    { channel: "presence-music", title: "Music", kind: "hobby" },
  ].map((room) => [room.channel, room]),
);

const SOCKET_ID = /^\d{1,20}\.\d{1,20}$/;
const MAX_TEXT_LENGTH = 1000;
const SESSION_COOKIE = "node-chat-session";
const SESSION_MS = 12 * 60 * 60 * 1000;

const pusher = new Pusher({
  appId: PUSHER_APP_ID,
  key: PUSHER_APP_KEY,
  secret: PUSHER_APP_SECRET,
  host: PUSHER_HOST,
  port: PUSHER_PORT,
  useTLS: false,
  timeout: 5000,
});

function sessionSignature(payload) {
  return createHmac("sha256", SESSION_SECRET).update(payload).digest("base64url");
}

function issueSession(person) {
  const payload = `${person.id}.${Date.now() + SESSION_MS}`;
  return `${payload}.${sessionSignature(payload)}`;
}

function readSession(cookies = "") {
  const prefix = `${SESSION_COOKIE}=`;
  const cookie = cookies.split("; ").find((pair) => pair.startsWith(prefix));
  const [id, expires, signature, ...rest] = cookie?.slice(prefix.length).split(".") ?? [];
  if (!signature || rest.length > 0) return undefined;
  const given = Buffer.from(signature);
  const expected = Buffer.from(sessionSignature(`${id}.${expires}`));
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  return Number(expires) > Date.now() ? PEOPLE.get(id) : undefined;
}

function securityHeaders(_request, response, next) {
  const server = `${PUSHER_HOST}:${PUSHER_PORT}`;
  response.set({
    "Content-Security-Policy": [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "img-src 'self'",
      `connect-src 'self' ws://${server} wss://${server}`,
      "form-action 'self'",
      "base-uri 'none'",
      "frame-ancestors 'none'",
    ].join("; "),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
  });
  next();
}

// A page on another port of this machine counts as same-site, so the cookie alone is no proof.
function refuseOtherOrigins(request, response, next) {
  const { origin, host } = request.headers;
  if (request.method === "GET" || request.method === "HEAD" || origin === undefined) return next();
  if (URL.canParse(origin) && new URL(origin).host === host) return next();
  response.status(403).send("This page may not act for the chat.");
}

function requirePerson(request, response, next) {
  const person = readSession(request.headers.cookie);
  if (person === undefined) return response.status(401).send("Pick a person first.");
  response.locals.person = person;
  next();
}

function requireSocketId(request, response, next) {
  const socketId = request.body?.socket_id;
  if (typeof socketId !== "string" || !SOCKET_ID.test(socketId)) {
    return response.status(400).send("socket_id must look like 123.456.");
  }
  response.locals.socketId = socketId;
  next();
}

const app = express();
const here = dirname(fileURLToPath(import.meta.url));
const pusherJs = createRequire(import.meta.url).resolve("pusher-js/dist/web/pusher.min.js");
const form = express.urlencoded({ extended: false, limit: "2kb" });
const json = express.json({ limit: "8kb" });

app.disable("x-powered-by");
app.use(securityHeaders, refuseOtherOrigins);
app.use(express.static(join(here, "public")));
app.use("/vendor/pusher-js", express.static(dirname(pusherJs)));

app.get("/session", (request, response) => {
  const person = readSession(request.headers.cookie);
  response.set("Cache-Control", "no-store").json({
    me: person ? { id: person.id, name: person.name, colour: person.colour } : null,
    people: [...PEOPLE.values()].map(({ id, name, colour }) => ({ id, name, colour })),
    rooms: [...ROOMS.values()],
    maxTextLength: MAX_TEXT_LENGTH,
    pusher: { key: PUSHER_APP_KEY, host: PUSHER_HOST, port: Number(PUSHER_PORT) },
  });
});

app.post("/session", json, (request, response) => {
  const person = PEOPLE.get(request.body?.person);
  if (person === undefined) return response.status(400).send("Nobody here by that name.");
  response
    .cookie(SESSION_COOKIE, issueSession(person), {
      httpOnly: true,
      sameSite: "lax",
      secure: request.secure,
      maxAge: SESSION_MS,
    })
    .sendStatus(204);
});

app.delete("/session", (_request, response) => {
  response.clearCookie(SESSION_COOKIE).sendStatus(204);
});

app.post("/pusher/user-auth", form, requirePerson, requireSocketId, (_request, response) => {
  const { person, socketId } = response.locals;
  const { id, name, colour } = person;
  response.json(pusher.authenticateUser(socketId, { id, user_info: { name, colour } }));
});

app.post("/pusher/auth", form, requirePerson, requireSocketId, (request, response) => {
  const { person, socketId } = response.locals;
  const room = ROOMS.get(request.body.channel_name);
  if (room === undefined) return response.status(403).send("There is no such room.");
  if (room.kind === "hobby") {
    // Nothing but a signature: the member is the user who signed in.
    return response.json(pusher.authorizeChannel(socketId, room.channel));
  }
  const { id, name, colour, admin } = person;
  const member = { user_id: id, user_info: { name, colour, admin } };
  response.json(pusher.authorizeChannel(socketId, room.channel, member));
});

app.post("/messages", json, requirePerson, async (request, response) => {
  const room = ROOMS.get(request.body?.room);
  if (room === undefined) return response.status(400).send("There is no such room.");
  const text = typeof request.body.text === "string" ? request.body.text.trim() : "";
  if (text === "" || text.length > MAX_TEXT_LENGTH) {
    return response.status(400).send(`A message has 1 to ${MAX_TEXT_LENGTH} characters.`);
  }
  const { id, name, colour } = response.locals.person;
  const message = { from: { id, name, colour }, text, sentAt: Date.now() };
  try {
    await pusher.trigger(room.channel, "message", message);
  } catch (error) {
    console.error(`Could not publish a message: ${error.message} ${error.body ?? ""}`.trim());
    return response.status(502).send("The message could not be sent. Try again.");
  }
  response.sendStatus(204);
});

app.use((error, _request, response, _next) => {
  const status = error.status >= 400 && error.status < 500 ? error.status : 500;
  if (status === 500) console.error(error);
  response.status(status).send(status === 413 ? "That is too long." : "That did not work.");
});

const server = app.listen(Number(PORT), "127.0.0.1", (error) => {
  if (error) {
    console.error(`Could not listen on port ${PORT}: ${error.message}`);
    process.exit(1);
  }
  console.log(`node-chat ready http://127.0.0.1:${server.address().port}`);
});
