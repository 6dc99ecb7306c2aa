// The fleet at a glance: the number of devices in each view, its course over time, and the list.
import { DeviceList } from "./list.js";
import { Component, Empty, html, Icon } from "./parts.js";
import { TimeLine } from "./plots.js";
import { plural, reasonsOf, URGENCY, VIEWS, viewOf } from "./words.js";
import { VIEW_TEXTS } from "./texts.js";

const RESORT_MS = 1000;

const ORDERS = {
  attention: (a, b) => URGENCY[a.view] - URGENCY[b.view] || compareNames(a, b),
  name: compareNames,
  why: (a, b) => (a.why < b.why ? -1 : a.why > b.why ? 1 : compareNames(a, b)),
  age: (a, b) => (a.row.made_after ?? 0) - (b.row.made_after ?? 0) || compareNames(a, b),
  logs: (a, b) => entries(b) - entries(a) || compareNames(a, b),
  refused: (a, b) => b.row.refused + b.row.rejected - a.row.refused - a.row.rejected || compareNames(a, b),
};

function compareNames(a, b) {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : a.row.ueid < b.row.ueid ? -1 : 1;
}

function entries(each) {
  return each.row.logs.reduce((sum, [, count]) => sum + count, 0);
}

export class FleetPage extends Component {
  constructor({ store }) {
    super();
    this.arranged = [];
    this.counts = {};
    this.arrangedAt = 0;
    this.pending = false;
    this.unsubscribe = store.subscribe((kind) => kind === "rows" && this.soon());
    this.timer = setInterval(() => this.again(), RESORT_MS); // no message announces that a result expires
  }

  componentWillUnmount() {
    this.unsubscribe();
    clearInterval(this.timer);
  }

  soon() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.forceUpdate();
    });
  }

  again() {
    this.arrangedAt = 0;
    this.soon();
  }

  // Counting and sorting 10,000 devices takes milliseconds, so it is not done for each batch of changes.
  arrange(store, filter) {
    const key = JSON.stringify(filter);
    if (key === this.key && store.rows.size === this.size && performance.now() - this.arrangedAt < RESORT_MS) return;
    const now = store.now();
    const words = filter.q.toLowerCase().split(/\s+/).filter(Boolean);
    const views = new Set(filter.view.split(",").filter((view) => VIEWS.includes(view)));
    const counts = Object.fromEntries(VIEWS.map((view) => [view, 0]));
    const found = [];
    for (const row of store.rows.values()) {
      const view = viewOf(row, now);
      counts[view] += 1;
      if (views.size && !views.has(view) && !(views.has("unverified") && row.refused)) continue;
      if (words.length && !words.every((word) => row.haystack.includes(word) || view.startsWith(word))) continue;
      found.push({ ueid: row.ueid, row, view, name: (row.label || row.ueid).toLowerCase(), why: reasonsOf(row, now)[0] ?? "" });
    }
    found.sort(ORDERS[filter.sort] ?? ORDERS.attention);
    if (filter.dir === "desc") found.reverse();
    Object.assign(this, { key, size: store.rows.size, arrangedAt: performance.now(), counts });
    this.arranged = found.map((each) => each.ueid);
  }

  render({ store, filter, navigate }) {
    if (!store.rows.size) return html`<${NothingYet} store=${store} />`;
    this.arrange(store, filter);
    const set = (changes, replace) => navigate({ filter: { ...filter, ...changes } }, replace);
    return html`
      <h1 class="sr">Fleet</h1>
      <${Tiles} counts=${this.counts} total=${store.rows.size} chosen=${filter.view} set=${set} />
      <${TimeLine} store=${store} />
      <${Tools} filter=${filter} set=${set} shown=${this.arranged.length} total=${store.rows.size} />
      <${DeviceList} store=${store} ueids=${this.arranged} filter=${filter} set=${set} navigate=${navigate} />`;
  }
}

function Tiles({ counts, total, chosen, set }) {
  const views = new Set(chosen.split(",").filter(Boolean));
  const toggle = (view) => {
    const after = new Set(views);
    after.has(view) ? after.delete(view) : after.add(view);
    set({ view: [...after].join(",") });
  };
  return html`<div class="tiles" role="group" aria-label="Devices by verdict; choose some to filter the list">
    ${VIEWS.map((view) => html`<button key=${view} type="button" class=${`tile v-${view}${counts[view] ? "" : " zero"}`} aria-pressed=${views.has(view) ? "true" : "false"}
      onClick=${() => toggle(view)} title=${VIEW_TEXTS[view]} data-view=${view}>
      <span class="what"><${Icon} view=${view} />${view}</span>
      <span class="count">${counts[view].toLocaleString("en")}</span>
      <span class="share" aria-hidden="true"><span style=${{ width: `${total ? (100 * counts[view]) / total : 0}%` }}></span></span>
    </button>`)}</div>`;
}

function Tools({ filter, set, shown, total }) {
  const onKey = (event) => {
    if (event.key === "Escape") {
      event.preventDefault();
      if (filter.q) set({ q: "" }, true);
      else document.getElementById("list")?.focus();
    } else if (event.key === "ArrowDown" || event.key === "Enter") {
      event.preventDefault();
      document.getElementById("list")?.focus();
    }
  };
  const sorts = { attention: "needs attention", name: "name", why: "reason", age: "age", logs: "log entries", refused: "refused messages" };
  const filtered = filter.q || filter.view;
  return html`<div class="tools">
    <label class="search"><span class="sr">Search</span>
      <input id="search" type="search" placeholder="Search name, UEID, reason, handle …" value=${filter.q} autocomplete="off" spellcheck=${false}
        onInput=${(event) => set({ q: event.target.value.slice(0, 200) }, true)} onKeyDown=${onKey} /><kbd aria-hidden="true">/</kbd></label>
    <label class="sort"><span>Sort by</span>
      <select value=${filter.sort} onChange=${(event) => set({ sort: event.target.value, dir: "asc" }, true)}>
        ${Object.entries(sorts).map(([name, text]) => html`<option key=${name} value=${name}>${text}</option>`)}</select></label>
    <span class="shown" role="status">${filtered ? `${shown.toLocaleString("en")} of ${plural(total, "device")}` : plural(total, "device")}</span>
    ${filtered ? html`<button type="button" class="quiet" onClick=${() => set({ q: "", view: "" }, true)}>show all</button>` : null}
  </div>`;
}

function NothingYet({ store }) {
  const { connected, broker, believed } = store.state;
  if (!connected) {
    return html`<${Empty} title="No broker yet"><p>This server is trying to reach <code>${broker}</code>, and continues to try.</p>
      <p>Is the broker running? Are host, port, credentials and certificates in <code>[mqtt]</code> right? The server's log lines say why it fails.</p><//>`;
  }
  return html`<${Empty} title="No results yet"><p>This server is connected to the broker <code>${broker}</code>, but no verifier has published a result there.</p>
    <ul><li>Is a verifier running, and does it use the same broker and topic root?</li>
    <li>Are attesters pushing evidence? <code>relying-party watch</code> in a terminal shows the same topic.</li>
    <li>The trusted keys are ${believed.map((key) => html`<code key=${key}>${key}</code> `)}</li></ul>
    <p>This page updates by itself when a result arrives.</p><//>`;
}
