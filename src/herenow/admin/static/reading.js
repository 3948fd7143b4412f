// Reads what the page shows, again and again while somebody looks at it.

const EVERY_MS = 2000;
const PATIENCE_MS = 10000;
const APPS = 50;
const CHANNELS = 500;
const MEMBERS = 1000;

export class Refused extends Error {}

async function read(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS) });
  if (response.status === 401 || response.status === 403) throw new Refused(await response.text());
  if (response.status === 404) return null;
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json();
}

const pathOf = (app) => `/api/apps/${encodeURIComponent(app)}`;

async function readApps() {
  const list = await read(`/api/apps?limit=${APPS}`);
  const apps = await Promise.all(
    list.apps.map(async (app) => ({ ...app, stats: await read(`${pathOf(app.id)}/stats`) })),
  );
  return { apps: apps.filter((app) => app.stats !== null), more: "next" in list };
}

const busiest = (channels) =>
  channels.reduce((best, channel) => (best && best.users >= channel.users ? best : channel), null);

// What there is to see of the chosen application and channel; the first and the busiest if none is.
async function readAll(chosen) {
  const { apps, more } = await readApps();
  const app = (apps.find(({ id }) => id === chosen.app) ?? apps[0])?.id;
  if (app === undefined) return { apps, more, app, channels: [], channel: null, members: null };
  const prefix = `prefix=presence-&limit=${CHANNELS}`;
  const list = await read(`${pathOf(app)}/channels?${prefix}`);
  const channels = list?.channels ?? [];
  const kept = app === chosen.app || chosen.app === null ? chosen.channel : null;
  const channel = kept ?? busiest(channels)?.name ?? null;
  const members =
    channel === null
      ? null
      : await read(`${pathOf(app)}/channels/${encodeURIComponent(channel)}/members?limit=${MEMBERS}`);
  return { apps, more, app, channels, moreChannels: list !== null && "next" in list, channel, members };
}

// Calls show(seen, error) after each reading. The answer changes what is chosen and reads at once.
export function keepReading(first, show) {
  let chosen = first;
  let turn = 0;
  let timer;

  async function look() {
    clearTimeout(timer);
    const mine = ++turn;
    try {
      const seen = await readAll(chosen);
      if (mine !== turn) return;
      chosen = { app: seen.app ?? null, channel: seen.channel };
      show(seen, null);
    } catch (error) {
      if (mine !== turn) return;
      show(null, error);
    }
    if (!document.hidden) timer = setTimeout(look, EVERY_MS);
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) look();
  });
  look();
  return (next) => {
    chosen = next;
    look();
  };
}
