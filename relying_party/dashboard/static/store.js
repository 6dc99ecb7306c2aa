// The data of the server, kept up to date: the whole fleet once, then the changes. The only module that fetches.

export class SignedOut extends Error {}

export async function fetchJson(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (answer.status === 401) throw new SignedOut();
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? `the server answered ${answer.status}`);
  return answer.json();
}

const RETRY_MS = 2000;
const MAX_POINTS = 800;

export class Store {
  constructor() {
    this.rows = new Map();
    this.about = null;
    this.state = null;
    this.timeline = [];
    this.started = 0;
    this.version = 0; // counts changes of rows
    this.link = "connecting"; // live, lost
    this.loaded = false;
    this.failure = "";
    this.offset = 0;
    this.listeners = new Set();
    this.source = null;
    this.arrivals = null; // for benches: a function that is called with each batch
  }

  now() {
    return Date.now() / 1000 + this.offset;
  }

  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  notify(kind, changed) {
    for (const listener of this.listeners) listener(kind, changed);
  }

  async start() {
    try {
      this.about ??= await fetchJson("api/about");
      await this.fetchFleet();
      this.failure = "";
    } catch (error) {
      if (error instanceof SignedOut) {
        location.assign("login");
        return;
      }
      this.failure = String(error.message ?? error);
      this.link = "lost";
      this.notify("link");
      setTimeout(() => this.start(), RETRY_MS);
      return;
    }
    this.follow();
  }

  async fetchFleet() {
    const fleet = await fetchJson("api/fleet");
    this.columns = this.about.columns;
    const fresh = new Map();
    for (const values of fleet.rows) fresh.set(values[0], this.toRow(values));
    this.rows = fresh;
    this.position = fleet.position;
    this.started = fleet.started;
    this.timeline = fleet.timeline;
    this.offset = fleet.now - Date.now() / 1000;
    this.state = fleet.state;
    this.loaded = true;
    this.version += 1;
    this.notify("fleet");
  }

  toRow(values) {
    const row = {};
    this.columns.forEach((name, index) => (row[name] = values[index]));
    row.haystack = `${row.label} ${row.ueid} ${row.reasons.join(" ")} ${row.verifier} ${row.handle} ${row.refused_code}`.toLowerCase();
    return row;
  }

  follow() {
    this.source?.close();
    const source = new EventSource(`api/events?since=${encodeURIComponent(this.position)}`);
    this.source = source;
    source.addEventListener("open", () => this.setLink("live"));
    source.addEventListener("rows", (event) => this.takeRows(JSON.parse(event.data)));
    source.addEventListener("state", (event) => this.takeState(JSON.parse(event.data)));
    source.addEventListener("refetch", () => {
      source.close();
      this.start();
    });
    source.addEventListener("error", () => {
      this.setLink("lost");
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.source === source && this.start(), RETRY_MS);
    });
  }

  setLink(link) {
    if (this.link === link) return;
    this.link = link;
    this.notify("link");
  }

  takeRows(news) {
    const changed = new Set();
    for (const values of news.rows) {
      this.rows.set(values[0], this.toRow(values));
      changed.add(values[0]);
    }
    for (const ueid of news.gone) {
      // Removed and added again within one batch: the row is newer.
      if (!changed.has(ueid)) this.rows.delete(ueid);
    }
    this.offset = news.now - Date.now() / 1000;
    this.version += 1;
    this.arrivals?.(news);
    this.notify("rows", changed);
  }

  takeState({ now, state }) {
    this.offset = now - Date.now() / 1000;
    const handlesChanged = state.handles !== this.state?.handles;
    this.state = state;
    const point = state.point;
    if (point && point[0] > (this.timeline.at(-1)?.[0] ?? 0)) {
      this.timeline = [...this.timeline, point].slice(-MAX_POINTS);
    }
    this.notify(handlesChanged ? "handles" : "state");
  }
}
