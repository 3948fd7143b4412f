import Pusher from "pusher";

import { obey, settings } from "./lines.mjs";

const pusher = new Pusher({
  appId: settings.id,
  key: settings.key,
  secret: settings.secret,
  host: settings.host,
  port: settings.port,
  useTLS: false,
  encryptionMasterKeyBase64: settings.masterKey,
});

async function perform(method, parameters) {
  if (method === "webhook") {
    const webhook = pusher.webhook(...parameters);
    return { valid: webhook.isValid(), events: webhook.getEvents() };
  }
  const result = await pusher[method](...parameters);
  return typeof result?.json === "function" ? await result.json() : result;
}

obey({
  async call({ method, arguments: parameters }) {
    try {
      return { result: await perform(method, parameters) };
    } catch (error) {
      return { failure: { message: error.message, status: error.status, body: error.body } };
    }
  },
});
