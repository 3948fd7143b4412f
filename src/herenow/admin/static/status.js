import { h, render } from "./vendor/preact.module.js";
import { useEffect, useRef, useState } from "./vendor/hooks.module.js";
import htm from "./vendor/htm.module.js";
import { Refused, keepReading } from "./reading.js";

const html = htm.bind(h);

const whole = new Intl.NumberFormat();
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const short = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

const count = (number, one, many = `${one}s`) =>
  `${whole.format(number)} ${number === 1 ? one : many}`;

function chosenInAddress() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  return { app: parameters.get("app"), channel: parameters.get("channel") };
}

function addressOf({ app, channel }) {
  const parameters = new URLSearchParams({ app });
  if (channel !== null) parameters.set("channel", channel);
  return `#${parameters}`;
}

function nameOf({ id, info }) {
  const name = info?.name;
  return typeof name === "string" && name.trim() ? name.trim() : id;
}

function initials(name) {
  const words = name.split(/\s+/u).filter(Boolean);
  const first = words.length > 1 ? [words[0], words.at(-1)] : [words[0] ?? ""];
  return first.map((word) => [...word][0] ?? "").join("").toLocaleUpperCase();
}

function hueOf(id) {
  let hash = 0;
  for (const character of id) hash = (hash * 31 + character.codePointAt(0)) >>> 0;
  return hash % 8;
}

function when(seconds) {
  const then = new Date(seconds * 1000);
  const today = then.toDateString() === new Date().toDateString();
  return today ? short.format(then) : day.format(then);
}

function State({ error, at }) {
  const since = at === null ? "" : clock.format(at);
  if (error instanceof Refused) {
    return html`<p class="state bad" role="status"><i></i>Not allowed: load the page again</p>`;
  }
  if (error) {
    const text = since ? `No answer since ${since}, trying again` : "No answer, trying again";
    return html`<p class="state bad" role="status"><i></i>${text}</p>`;
  }
  return html`<p class="state"><i></i>${since ? `Live, ${since}` : "Connecting"}</p>`;
}

function Numbers({ stats }) {
  const shown = [
    ["members", stats.members, "in presence channels"],
    ["users", stats.users, "signed in"],
    ["connections", stats.connections, "open now"],
    ["channels", stats.channels, "occupied"],
  ];
  return html`<dl class="numbers">
    ${shown.map(
      ([name, number, meaning]) => html`<div key=${name}>
        <dt>${name}<small>${meaning}</small></dt>
        <dd>${whole.format(number)}</dd>
      </div>`,
    )}
  </dl>`;
}

function Apps({ apps, more, app, choose }) {
  return html`<section class="apps ${apps.length === 1 ? "single" : ""}" aria-label="Applications">
      ${apps.map(
        ({ id, enabled, stats }) => html`<article key=${id} class=${id === app ? "chosen" : ""}>
          <h2>
            <a
              href=${addressOf({ app: id, channel: null })}
              aria-current=${id === app ? "true" : null}
              onClick=${(event) => choose(event, { app: id, channel: null })}
              ><small>app</small> ${id}</a
            >
            ${!enabled && html`<span class="tag">disabled</span>`}
          </h2>
          <${Numbers} stats=${stats} />
        </article>`,
      )}
    </section>
    ${more && html`<p class="hint">Only the first ${apps.length} applications are shown.</p>`}`;
}

function Channels({ app, channels, more, channel, choose }) {
  const gone = channel !== null && !channels.some(({ name }) => name === channel);
  const shown = gone ? [...channels, { name: channel, users: 0 }] : [...channels];
  shown.sort((one, other) => other.users - one.users || (one.name < other.name ? -1 : 1));
  return html`<section class="panel channels" aria-labelledby="channels">
    <h2 id="channels">Presence channels</h2>
    ${shown.length === 0
      ? html`<p class="empty">
          No presence channel is occupied. One appears here when its first member joins.
        </p>`
      : html`<ul>
          ${shown.map(
            ({ name, users }) => html`<li key=${name}>
              <a
                href=${addressOf({ app, channel: name })}
                aria-current=${name === channel ? "true" : null}
                onClick=${(event) => choose(event, { app, channel: name })}
              >
                <span class="name" title=${name}>${name.slice("presence-".length) || name}</span>
                <span class="count" title=${count(users, "member")}>${whole.format(users)}</span>
              </a>
            </li>`,
          )}
        </ul>`}
    ${more && html`<p class="hint">Only the first ${channels.length} channels are shown.</p>`}
  </section>`;
}

function Member({ member }) {
  const name = nameOf(member);
  const leaving = member.connections === 0;
  return html`<li class=${leaving ? "leaving" : ""}>
    <span class="face hue-${hueOf(member.id)}" aria-hidden="true">${initials(name)}</span>
    <span class="who"><bdi>${name}</bdi>${name !== member.id && html`<code>${member.id}</code>`}</span>
    <span class="how">
      ${leaving
        ? html`<span class="tag" title="The last connection was lost; it may come back"
            >leaving</span
          >`
        : member.connections > 1 && html`<span>${count(member.connections, "connection")}</span>`}
      <time title=${moment.format(member.since * 1000)}>since ${when(member.since)}</time>
    </span>
  </li>`;
}

function Members({ channel, members }) {
  const [sought, seek] = useState("");
  if (channel === null || members === null) return null;
  const all = members.members;
  const wanted = sought.trim().toLocaleLowerCase();
  const shown = all
    .filter((member) => `${nameOf(member)}\n${member.id}`.toLocaleLowerCase().includes(wanted))
    .sort((one, other) => one.since - other.since || (one.id < other.id ? -1 : 1));
  const leaving = all.filter(({ connections }) => connections === 0).length;
  return html`<section class="panel members" aria-labelledby="members">
    <header>
      <h2 id="members">${channel}</h2>
      <p>
        ${count(all.length, "member")}${"next" in members && " shown, there are more"}
        ${leaving > 0 && `, ${whole.format(leaving)} leaving`}
      </p>
      ${all.length > 8 &&
      html`<input
        type="search"
        placeholder="Find a member"
        aria-label="Find a member"
        value=${sought}
        onInput=${(event) => seek(event.currentTarget.value)}
      />`}
    </header>
    ${all.length === 0 && html`<p class="empty">Nobody is here now.</p>`}
    ${all.length > 0 && shown.length === 0 && html`<p class="empty">No member is called that.</p>`}
    <ul>
      ${shown.map((member) => html`<${Member} key=${member.id} member=${member} />`)}
    </ul>
  </section>`;
}

function Status() {
  const [seen, setSeen] = useState(null);
  const [error, setError] = useState(null);
  const [at, setAt] = useState(null);
  const change = useRef(null);

  useEffect(() => {
    change.current = keepReading(chosenInAddress(), (found, problem) => {
      setError(problem);
      if (found === null) return;
      setSeen(found);
      setAt(new Date());
    });
    const follow = () => change.current(chosenInAddress());
    addEventListener("popstate", follow);
    return () => removeEventListener("popstate", follow);
  }, []);

  function choose(event, next) {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    history.pushState(null, "", addressOf(next));
    change.current(next);
  }

  return html`<header class="top">
      <h1><img src="/static/icon.svg" alt="" />herenow</h1>
      <${State} error=${error} at=${at} />
    </header>
    <main class=${error ? "stale" : ""}>
      ${seen &&
      html`<${Apps} apps=${seen.apps} more=${seen.more} app=${seen.app} choose=${choose} />
        <div class="panels">
          <${Channels}
            app=${seen.app}
            channels=${seen.channels}
            more=${seen.moreChannels}
            channel=${seen.channel}
            choose=${choose}
          />
          <${Members} key=${`${seen.app}/${seen.channel}`} ...${seen} />
        </div>`}
    </main>`;
}

render(html`<${Status} />`, document.getElementById("page"));
