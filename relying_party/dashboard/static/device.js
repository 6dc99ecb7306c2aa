// One device: its verdict, the reasons, the times, the history; and the raw result, verified here.
import { Badge, Card, Component, Copy, Empty, html, Icon } from "./parts.js";
import { Band, Lines, ppm, seconds } from "./plots.js";
import { fetchJson, SignedOut } from "./store.js";
import { canVerify, fromBase64, verifyResult } from "./verify.js";
import { ago, duration, moment, nameOf, plural, printable, rate, reasonsOf, viewOf } from "./words.js";
import { CLAIM_TEXTS, FIT_TEXTS, FRESHNESS_TEXTS, VIEW_TEXTS } from "./texts.js";

const REFETCH_MS = 1000;

export class DevicePage extends Component {
  constructor({ store, ueid }) {
    super();
    this.state = { detail: null, failure: "", tick: 0 };
    this.unsubscribe = store.subscribe((kind, changed) => {
      if ((kind === "rows" && changed.has(ueid)) || kind === "fleet") this.soon();
    });
    this.timer = setInterval(() => this.setState({ tick: this.state.tick + 1 }), 1000);
  }

  componentDidMount() {
    this.fetch();
  }

  componentWillUnmount() {
    this.gone = true;
    this.unsubscribe();
    clearInterval(this.timer);
    clearTimeout(this.waiting);
  }

  soon() {
    if (this.waiting) return;
    const wait = Math.max(0, REFETCH_MS - (performance.now() - (this.fetchedAt ?? -REFETCH_MS)));
    this.waiting = setTimeout(() => {
      this.waiting = 0;
      this.fetch();
    }, wait);
  }

  async fetch() {
    this.fetchedAt = performance.now();
    try {
      const detail = await fetchJson(`api/attester/${this.props.ueid}`);
      if (!this.gone) this.setState({ detail, failure: "" });
    } catch (error) {
      if (error instanceof SignedOut) location.assign("login");
      else if (!this.gone) this.setState({ failure: String(error.message) });
    }
  }

  render({ store, ueid, back }, { detail, failure }) {
    const now = store.now();
    const link = html`<p class="back"><a href=${back}>← Fleet</a></p>`;
    if (!detail) {
      return html`${link}${failure ? html`<${Empty} title="No message about this device"><p><code>${ueid}</code></p><p>${failure}.
        It may not have sent anything since this server started, or the link is to another fleet. This page updates by itself.</p><//>` : html`<p class="boot">Loading …</p>`}`;
    }
    const row = store.toRow(detail.row);
    const view = viewOf(row, now);
    return html`${link}<${Head} row=${row} view=${view} detail=${detail} now=${now} store=${store} />
      <div class="cards">
        <${Refused} detail=${detail} now=${now} store=${store} row=${row} />
        ${detail.result && view === "unverified" ? html`<p class="notice wide">Below is the last verified result. It may no longer hold: a later message on this device's topic does not verify.</p>` : null}
        ${detail.result ? html`
          <${Unexpected} result=${detail.result} auditor=${detail.for_auditor} />
          <div class="column">
            <${Vector} result=${detail.result} reasons=${reasonsOf(row, now)} words=${store.about.reasons} />
            <${Times} result=${detail.result} now=${now} />
            <${Chain} result=${detail.result} now=${now} />
            <${Transitions} result=${detail.result} now=${now} words=${store.about.reasons} />
          </div>
          <div class="column">
            <${Plots} detail=${detail} />
            <${Claims} result=${detail.result} auditor=${detail.for_auditor} />
          </div>` : null}
        <${History} detail=${detail} now=${now} store=${store} />
        ${detail.result ? html`<${Raw} title=${view === "unverified" ? "The last verified result, raw, verified in this browser" : "The raw result, verified in this browser"} id="raw" raw=${detail.raw} ueid=${detail.ueid} store=${store} auditor=${detail.for_auditor} now=${now} />` : null}
      </div>`;
  }
}

function Head({ row, view, detail, now, store }) {
  const result = detail.result;
  const reasons = reasonsOf(row, now);
  return html`<section class=${`verdict v-${view}`} aria-labelledby="device-name" data-view=${view}>
    <div class="title"><h1 id="device-name">${nameOf(row)}</h1><${Badge} view=${view} /></div>
    <p class="ueid"><code>${row.ueid}</code> <${Copy} text=${row.ueid} label="the UEID" /></p>
    <p class="says">${VIEW_TEXTS[view]}${view === "unverified" && result ? ` The last verified result was: ${row.status}${now >= row.expires ? ", and has expired since" : ""}.` : ""}</p>
    ${reasons.length ? html`<dl class="reasons" aria-label="Reasons">${reasons.map((code) => html`<div key=${code}><dt><code>${printable(code)}</code></dt><dd>${store.about.reasons[code]?.[0] ?? "See docs/threat-model.md."}${store.about.reasons[code] ? html` <span class="next">${store.about.reasons[code][2]}</span>` : null}</dd></div>`)}</dl>` : null}
    ${result ? html`<p class="note">Signed by <strong>${printable(result.verifier)}</strong> ${ago(result.issued, now)}, ${now < result.expires ? `in force for another ${duration(result.expires - now)}` : `expired ${ago(result.expires, now)}`}${result.policies.length ? `; by the policy ${result.policies.map(printable).join(", ")}` : "; without a policy"}.</p>` : null}
  </section>`;
}

function Refused({ detail, now, store, row }) {
  const refusal = detail.refusal;
  if (!refusal) return null;
  return html`<${Card} title="Messages that do not verify" id="refused" wide>
    <p class="alarm v-unverified"><${Icon} view="unverified" /><span><strong>unverified</strong>: ${plural(refusal.count, "message")} on this device's topic since this server started; the newest ${ago(refusal.at, now)} (${moment(refusal.at)}), refused with <code>${refusal.code}</code>. ${store.about.reasons[refusal.code]?.[0] ?? ""}</span></p>
    ${refusal.detail ? html`<p class="note">${printable(refusal.detail)}</p>` : null}
    <p class="note">Anybody who can publish on the broker can cause this. It changes no verdict; ${refusal.stands ? "it is shown until the next verified result." : "a verified result has arrived since."}</p>
    ${refusal.raw ? html`<${Raw} inner raw=${refusal.raw} ueid=${detail.ueid} store=${store} auditor now=${now} />` : null}<//>`;
}

function Times({ result, now }) {
  const width = result.made_after && result.made_before ? result.made_before - result.made_after : null;
  const items = [
    ["made not before", result.made_after ? `${moment(result.made_after)} (${ago(result.made_after, now)})` : "not known"],
    ["made not after", result.made_before ? `${moment(result.made_before)} (${ago(result.made_before, now)})` : "not known"],
    ["known to within", width === null ? "–" : duration(width)],
    ["received by the verifier", moment(result.received)],
    ["freshness", html`<strong>${result.freshness}</strong>: ${FRESHNESS_TEXTS[result.freshness] ?? ""}`],
    ["clock rate against the TSA", rate(result.clock_rate_ppm)],
    ["sequence number", result.sequence ?? "–"],
  ];
  return html`<${Card} title="When" id="when" note="The lower bound is stated by a Time Stamp Authority and carried by the TPM's clock; nobody on the device can move it."><${Facts} items=${items} /><//>`;
}

function Facts({ items }) {
  return html`<dl class="facts">${items.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function Vector({ result, reasons, words }) {
  const why = (claim, tier) => {
    if (tier === "affirming") return "nothing contradicts it";
    const about = reasons.filter((code) => words[code]?.[1].includes(claim));
    return (about.length ? about : reasons).map((code) => words[code]?.[0] ?? code).join(" ") || "no reason was given";
  };
  return html`<${Card} title="Trustworthiness vector" id="vector" note="The verifier's conclusion, claim by claim (AR4SI). The verdict is never better than the worst of them.">
    ${result.vector.length ? html`<table class="stack"><thead><tr><th scope="col">Claim</th><th scope="col">Value</th><th scope="col">Why</th></tr></thead><tbody>
      ${result.vector.map(({ claim, value, tier }) => html`<tr key=${claim}><th scope="row">${claim}<span class="note">${CLAIM_TEXTS[claim] ?? ""}</span></th>
        <td><${Badge} view=${tier} text=${`${tier} (${value})`} /></td><td>${why(claim, tier)}</td></tr>`)}</tbody></table>`
      : html`<p>No claim was decided. ${reasons.map((code) => words[code]?.[0] ?? code).join(" ")}</p>`}<//>`;
}

function Plots({ detail }) {
  const { samples, log_names: names } = detail;
  const times = samples.map((each) => each[0]);
  const column = (index) => samples.map((each) => each[index]);
  const after = column(1);
  const before = column(2);
  const newest = samples.at(-1);
  return html`
    <${Card} title="Time of each quote" id="plot-time" note="How long before its receipt a quote was made: at the earliest and at the latest. A narrow band is a well-known time.">
      <${Band} times=${times} high=${after} low=${before} labels=${["at the earliest", "at the latest"]} unit=${seconds} tone="--accent" text=${newest ? `The newest quote was made between ${duration(newest[1])} and ${duration(newest[2])} before its receipt.` : "No quote yet."} /><//>
    <${Card} title="Clock drift" id="plot-drift" note="Bounds on how much faster or slower the TPM's clock runs than the TSA's time. They get closer as the clock is linked to more handles.">
      <${Band} times=${times} high=${column(4)} low=${column(3)} labels=${["at most", "at least"]} unit=${ppm} tone="--accent" text=${newest && newest[3] !== null ? `The clock's rate is between ${ppm(newest[3])} and ${ppm(newest[4])}.` : "The rate is not known yet."} /><//>
    <${Card} title="Measurement logs" id="plot-logs" note="Entries of each log that the quotes cover. A log only grows; a drop is a reboot.">
      <${Lines} times=${times} columns=${names.map((_, index) => column(5 + index))} labels=${names.map(printable)} text=${detail.result.logs.map(([name, count]) => `${name}: ${count} entries`).join(", ")} />
      ${detail.result.logs.map(([name, count, total]) => (total > count ? html`<p key=${name} class="note">${printable(name)}: ${count} of ${total} entries have arrived so far.</p>` : null))}<//>`;
}

function Unexpected({ result, auditor }) {
  const total = result.unexpected_total;
  if (!auditor) return total ? html`<${Card} title="Unexpected" id="unexpected" wide><p>${plural(total, "thing")} that no reference value covers. Auditors see the list.</p><//>` : null;
  if (!result.unexpected.length) return null;
  return html`<${Card} title="Unexpected" id="unexpected" wide note="The files, PCRs and rules behind the reasons, with the measured digest.">
    <ul class="digests">${result.unexpected.map(([what, digest], index) => html`<li key=${index}><span class="path">${printable(what)}</span>${digest ? html`<code class="digest">${digest}</code><${Copy} text=${digest} label="the digest" />` : null}</li>`)}</ul>
    ${total > result.unexpected.length ? html`<p class="note">and ${plural(total - result.unexpected.length, "more", "more")} which the result does not name</p>` : null}<//>`;
}

function Chain({ result, now }) {
  const handle = (name, each) => {
    if (!each) return [name, "none"];
    const seen = each.seen;
    if (!seen) return [name, html`<code>${each.id.slice(0, 16)}…</code> not seen by this server (it may be from before it started)`];
    return [name, html`<code title=${each.id}>${each.id.slice(0, 16)}…</code> of ${printable(seen.issuer)}, ${seen.verified ? html`<strong>verified</strong>: stamped ${moment(seen.time)} (${ago(seen.time, now)}), ±${duration(seen.accuracy)}` : html`<strong>not verified here</strong>: claims ${moment(seen.not_before)}`}; ${FIT_TEXTS[seen.fit]}${seen.previous ? html`, after <code>${seen.previous.slice(0, 16)}…</code>` : ""}`];
  };
  const items = [handle("evidence is bound to", result.handle), handle("newest handle at the verifier, on receipt", result.received_after), ["evidence", html`<code class="digest">${result.evidence || "none"}</code>`], ["attesting environment", html`<code class="digest">${result.environment || "unknown"}</code>`]];
  return html`<${Card} title="Handle" id="handle" note="The link between the evidence and a moment: the TPM signed this handle's digest, so the quote was made after it."><${Facts} items=${items} /><//>`;
}

function Claims({ result, auditor }) {
  if (!auditor) return html`<${Card} title="Claims" id="claims"><p class="note">Auditors see them.</p><//>`;
  const table = (claims) => html`<dl class="facts">${Object.entries(claims).sort().map(([name, value]) => html`<div key=${name}><dt>${printable(name)}</dt><dd class="path">${printable(value)}</dd></div>`)}</dl>`;
  const own = Object.keys(result.claims).length;
  const verified = Object.keys(result.verified_claims).length;
  return html`<${Card} title="Claims" id="claims">
    <h3>Vouched for by quoted PCRs</h3>${verified ? table(result.verified_claims) : html`<p class="note">None: the logs behind such claims were not replayed, or hold none.</p>`}
    <h3>The device's own claims</h3><p class="note">These are not verified; a compromised device can claim anything.</p>${own ? table(result.claims) : html`<p class="note">It claims nothing.</p>`}<//>`;
}

function Transitions({ result, now, words }) {
  const rejected = result.rejections;
  return html`<${Card} title="Transitions and rejections" id="transitions">
    ${result.transitions.length ? html`<ol class="plain">${result.transitions.map((each, index) => html`<li key=${index}><strong>${each.kind}</strong> at ${duration(each.clock_ms / 1000)} of the TPM's clock, reset ${each.reset}, restart ${each.restart}</li>`)}</ol>`
      : html`<p class="note">No suspend, hibernation or new kernel was reported with the last evidence.</p>`}
    ${rejected ? html`<p>The verifier refused <strong>${plural(rejected.count, "message")}</strong> on this device's evidence topic, the last ${ago(rejected.at, now)}: <code>${printable(rejected.last)}</code>. ${words[rejected.last]?.[0] ?? ""} Refusals change no verdict.</p>` : html`<p class="note">The verifier refused no message on its evidence topic.</p>`}<//>`;
}

function History({ detail, now, store }) {
  return html`<${Card} title="History of verdicts" id="history" wide note=${`Changes since this server started, ${moment(store.started)}; the last 48 are kept. The audit log holds all of them.`}>
    ${detail.changes.length ? html`<ol class="history">${detail.changes.map((change, index) => html`<li key=${`${change.at}-${index}`}><time>${moment(change.at)}</time><span class="note">${ago(change.at, now)}</span>
      <${Badge} view=${change.status === "none" && change.freshness === "stale" ? "stale" : change.status} /><span class="reasons">${change.reasons.map(printable).join(", ") || "no reason"}${change.freshness !== "fresh" && change.freshness !== "stale" ? ` (${change.freshness})` : ""}</span></li>`)}</ol>`
      : html`<p class="note">No verified result yet.</p>`}<//>`;
}

class Raw extends Component {
  constructor() {
    super();
    this.state = { report: null };
  }

  componentDidMount() {
    this.check();
  }

  componentDidUpdate(before) {
    if (before.raw !== this.props.raw) this.check();
  }

  async check() {
    const { raw, ueid, store } = this.props;
    if (!raw || !canVerify()) return;
    const jwks = await fetchJson("api/keys");
    const report = await verifyResult(fromBase64(raw), jwks, ueid, store.now());
    if (raw === this.props.raw) this.setState({ report });
  }

  render({ title, id, raw, auditor, inner, now }, { report }) {
    const body = this.body({ raw, auditor, report, now });
    return inner ? html`<details class="inner"><summary>The refused message, checked in this browser</summary>${body}</details>` : html`<${Card} title=${title} id=${id} wide>${body}<//>`;
  }

  body({ raw, auditor, report }) {
    if (!auditor) return html`<p class="note">Auditors see the raw result and verify its signature in their own browser.</p>`;
    if (!raw) return html`<p class="note">The server does not keep this message.</p>`;
    if (!canVerify()) return html`<p class="alarm v-warning"><${Icon} view="warning" /><span>The signature cannot be verified here: browsers allow that only on https pages and on localhost.</span></p><pre class="token">${asText(raw)}</pre>`;
    if (!report) return html`<p class="note">Checking …</p>`;
    const verdict = report.signatureOk ? (report.ok ? "affirming" : "stale") : "unverified";
    return html`<p class=${`alarm v-${verdict}`} data-check=${report.signatureOk ? "verified" : "unverified"}><${Icon} view=${verdict} />
        <span>${report.signatureOk ? html`<strong>Signature verified in this browser</strong> (${report.form}): the status is <strong>${printable(report.summary.status)}</strong>${report.ok ? "" : ", and the result has expired"}.` : html`<strong>Not verified</strong> (${report.form}): do not rely on it.`}</span></p>
      <ol class="steps">${report.steps.map((step) => html`<li key=${step.name} class=${step.ok ? "ok" : "bad"}><strong>${step.name}</strong> ${step.ok ? "✓" : "✕"} ${printable(step.detail)}</li>`)}</ol>
      <details><summary>${report.signatureOk ? "Content" : "Content, which no trusted verifier has signed"}</summary><pre class="token">${report.content}</pre></details>
      <details><summary>The bytes</summary><pre class="token">${asText(raw)}</pre><${Copy} text=${asText(raw)} label="the bytes" /></details>`;
  }
}

function asText(raw) {
  const bytes = fromBase64(raw);
  return bytes[0] === 0x65 ? new TextDecoder("ascii").decode(bytes) : raw;
}
