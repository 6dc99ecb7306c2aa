// The handle distributors as seen from outside, and the other processes.
import { Card, Component, Empty, html, Icon } from "./parts.js";
import { fetchJson, SignedOut } from "./store.js";
import { ago, duration, moment, plural, printable } from "./words.js";
import { FIT_TEXTS } from "./texts.js";

export class HandlesPage extends Component {
  constructor({ store }) {
    super();
    this.state = { health: null, failure: "", tick: 0 };
    this.unsubscribe = store.subscribe((kind) => kind === "handles" && this.fetch());
    this.timer = setInterval(() => this.setState({ tick: this.state.tick + 1 }), 1000);
  }

  componentDidMount() {
    this.fetch();
  }

  componentWillUnmount() {
    this.gone = true;
    this.unsubscribe();
    clearInterval(this.timer);
  }

  async fetch() {
    try {
      const health = await fetchJson("api/handles");
      if (!this.gone) this.setState({ health, failure: "" });
    } catch (error) {
      if (error instanceof SignedOut) location.assign("login");
      else if (!this.gone) this.setState({ failure: String(error.message) });
    }
  }

  render({ store }, { health, failure }) {
    if (!health) return html`<p class="boot">${failure || "Loading …"}</p>`;
    const now = store.now();
    return html`<h1>Handles</h1><p class="lead">Every quote is bound to a handle: a nonce whose time a Time Stamp Authority has signed. Without new handles no quote can be proven to be recent.</p>
      ${health.verified ? null : html`<p class="notice warn">Not verified: this server has no distributor keys and TSA roots, so anyone may have published the handles below. Name the keys and roots in [trust].</p>`}
      ${health.distributors.length ? health.distributors.map((each) => html`<${Distributor} key=${each.name} it=${each} now=${now} verified=${health.verified} />`)
        : html`<${Empty} title="No handles yet"><p>Is a handle distributor running on this broker (<code>handle-distributor run</code>)? Its newest handle is retained, so it would appear at once.</p><//>`}
      <${Processes} processes=${store.state.processes} now=${now} />`;
  }
}

function middle(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted.length ? sorted[Math.floor(sorted.length / 2)] : null;
}

function Distributor({ it, now, verified }) {
  const handles = it.handles;
  const timeOf = (each) => each.time ?? each.not_before;
  const intervals = handles.slice(0, -1).map((each, index) => timeOf(each) - timeOf(handles[index + 1])).filter((value) => value > 0);
  const usual = middle(intervals);
  const newest = handles[0];
  const age = newest ? now - timeOf(newest) : null;
  const expired = newest && now >= newest.expires;
  const late = usual !== null && age > 2.5 * usual + 5;
  const stamps = handles.map((each) => each.tsa_s).filter((value) => value !== null);
  const delays = handles.map((each) => each.delay_s).filter((value) => value !== null);
  const breaks = (it.fits.gap ?? 0) + (it.fits.forked ?? 0);
  const verdict = it.fits.forked ? "contraindicated" : expired || !newest ? "stale" : late || breaks || it.refused ? "warning" : verified ? "affirming" : "none";
  const facts = [
    ["newest handle", newest ? `${ago(timeOf(newest), now)} (${moment(timeOf(newest))})${expired ? ", expired" : `, valid for another ${duration(newest.expires - now)}`}` : "none"],
    ["interval", usual === null ? "needs two handles" : `${duration(usual)} usually, ${duration(Math.max(...intervals))} at most`],
    ["TSA latency", stamps.length ? `${duration(middle(stamps))} between the two stamps of a handle, ${duration(Math.max(...stamps))} at most` : "not known"],
    ["time to arrive", delays.length ? `${duration(middle(delays))} from stamp to receipt (this machine's clock), ${duration(Math.max(...delays))} at most` : "needs another handle"],
    ["chain", it.fits.forked ? `${plural(it.fits.forked, "FORK", "FORKS")}: two programs use the distributor's key` : breaks ? plural(breaks, "gap") : handles.length > 1 ? "unbroken" : "one handle so far"],
    ["refused", it.refused ? html`${plural(it.refused, "message")}, the last ${ago(it.refused_at, now)}: <code>${it.refused_code}</code> ${printable(it.refused_detail)}` : "none"],
  ];
  return html`<${Card} title=${printable(it.name)} id=${`d-${it.name}`} wide>
    <p class=${`alarm v-${verdict}`}><${Icon} view=${verdict} /><span>${it.fits.forked ? "Two handles claim the same place in the chain: an alarm." : !newest ? "No handle of it could be verified." : expired ? "Its newest handle has expired: no evidence can be bound to it." : late ? "The next handle is late." : it.refused ? "Some messages on its topic were refused." : breaks ? "Handles are missing in between." : verified ? "Handles arrive as expected." : "Handles arrive, but this server does not verify them."}</span></p>
    <dl class="facts">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    <details open=${handles.length <= 8}><summary>${plural(handles.length, "handle")}, newest first</summary><div class="scroll"><table class="stack handles"><thead><tr><th scope="col">Handle</th><th scope="col">Stamped (UTC)</th><th scope="col">Interval</th><th scope="col">TSA</th><th scope="col">Delay</th><th scope="col">Chain</th></tr></thead>
      <tbody>${handles.map((each, index) => html`<tr key=${each.id}><th scope="row"><code title=${each.id}>${each.id.slice(0, 12)}</code> ${each.verified ? "verified" : "not verified"}</th><td>${moment(timeOf(each))}</td>
        <td>${handles[index + 1] ? duration(timeOf(each) - timeOf(handles[index + 1])) : "–"}</td><td>${each.tsa_s === null ? "–" : duration(each.tsa_s)}</td><td>${each.delay_s === null ? "–" : duration(each.delay_s)}</td><td>${FIT_TEXTS[each.fit]}</td></tr>`)}</tbody></table></div></details><//>`;
}

function Processes({ processes, now }) {
  return html`<${Card} title="Processes" id="processes" wide note="The processes' own status. It is not signed, so no verdict depends on it.">
    ${processes.length ? html`<ul class="processes">${processes.map(([role, name, online, version, since]) => html`<li key=${`${role}/${name}`}><span class=${`dot ${online ? "on" : "off"}`} aria-hidden="true"></span><strong>${printable(role)}</strong> ${printable(name)} <span class="note">${online ? "online" : "gone"} since ${ago(since, now)} · ${printable(version)}</span></li>`)}</ul>`
      : html`<p class="note">No process has published a status.</p>`}<//>`;
}
