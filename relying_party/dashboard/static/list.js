// The list of attesters. Only the visible rows are in the document. A grid for keyboards and screen readers.
import { Component, Empty, html, Icon } from "./parts.js";
import { ago, duration, logText, nameOf, rate, reasonsOf, shortUeid, viewOf } from "./words.js";

const OVERSCAN = 8;
const COLUMNS = [
  ["attention", "Verdict"],
  ["name", "Device"],
  ["why", "Why"],
  ["age", "Age"],
  ["logs", "Log entries"],
  [null, "Clock"],
  ["refused", "Refused"],
];

export class DeviceList extends Component {
  constructor() {
    super();
    this.state = { active: 0, top: 0, height: 800 };
    this.measure = () => {
      if (this.waiting) return;
      this.waiting = true;
      requestAnimationFrame(() => {
        this.waiting = false;
        if (!this.body) return;
        const top = Math.max(0, -this.body.getBoundingClientRect().top);
        this.rowHeight = parseFloat(getComputedStyle(this.body).getPropertyValue("--row")) || 48;
        if (Math.abs(top - this.state.top) >= 1 || innerHeight !== this.state.height) this.setState({ top, height: innerHeight });
      });
    };
    this.rowHeight = 48;
  }

  componentDidMount() {
    addEventListener("scroll", this.measure, { passive: true });
    addEventListener("resize", this.measure, { passive: true });
    this.measure();
  }

  componentDidUpdate() {
    this.measure();
  }

  componentWillUnmount() {
    removeEventListener("scroll", this.measure);
    removeEventListener("resize", this.measure);
  }

  move(to) {
    const { ueids } = this.props;
    const active = Math.max(0, Math.min(ueids.length - 1, to));
    this.props.store.active = ueids[active]; // remembered while a device's page is open
    const box = this.body.getBoundingClientRect();
    const head = this.head.getBoundingClientRect().height + this.head.getBoundingClientRect().top;
    const y = box.top + active * this.rowHeight;
    const low = Math.max(this.head.getBoundingClientRect().bottom, 0);
    if (y < low) scrollBy(0, y - Math.max(low, head));
    else if (y + this.rowHeight > innerHeight - 8) scrollBy(0, y + this.rowHeight - innerHeight + 8);
    this.setState({ active });
  }

  key(event) {
    const page = Math.max(1, Math.floor(innerHeight / this.rowHeight) - 4);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page };
    const active = this.active();
    if (event.key in steps) this.move(active + steps[event.key]);
    else if (event.key === "Home") this.move(0);
    else if (event.key === "End") this.move(this.props.ueids.length - 1);
    else if (event.key === "Enter" || event.key === " ") this.open(this.props.ueids[active]);
    else return;
    event.preventDefault();
  }

  // The active row stays active when other rows are inserted before it.
  active() {
    const { ueids } = this.props;
    const last = this.state.active;
    const ueid = this.props.store.active;
    if (ueid === undefined || ueids[last] === ueid) return Math.min(last, ueids.length - 1);
    const moved = ueids.indexOf(ueid);
    return moved < 0 ? Math.min(last, ueids.length - 1) : moved;
  }

  open(ueid) {
    if (!ueid) return;
    this.props.store.active = ueid;
    this.props.navigate({ page: "device", ueid });
  }

  sort(name) {
    const { filter, set } = this.props;
    set({ sort: name, dir: filter.sort === name && filter.dir === "asc" ? "desc" : "asc" }, true);
  }

  render({ store, ueids, filter }) {
    const now = store.now();
    if (!ueids.length) {
      return html`<${Empty} title="No device fits"><p>No device matches this search and filter. Remove a word, or choose <em>show all</em>.</p><//>`;
    }
    const active = this.active();
    const first = Math.max(0, Math.floor(this.state.top / this.rowHeight) - OVERSCAN);
    const last = Math.min(ueids.length, Math.ceil((this.state.top + this.state.height) / this.rowHeight) + OVERSCAN);
    const visible = [];
    for (let index = first; index < last; index += 1) {
      const row = store.rows.get(ueids[index]);
      if (row) visible.push(html`<${Row} key=${row.ueid} row=${row} index=${index} now=${now} active=${index === active} open=${(ueid) => this.open(ueid)} />`);
    }
    const sorted = (name) => (filter.sort === name ? (filter.dir === "asc" ? "ascending" : "descending") : undefined);
    return html`<div class="grid" id="list" role="grid" tabindex="0" aria-label="Devices" aria-rowcount=${ueids.length + 1} aria-colcount=${COLUMNS.length}
        aria-activedescendant=${`row-${ueids[active]}`} onKeyDown=${(event) => event.target === event.currentTarget && this.key(event)}>
      <div class="row head" role="row" aria-rowindex="1" ref=${(element) => (this.head = element)}>
        ${COLUMNS.map(([name, text]) => html`<span key=${text} role="columnheader" aria-sort=${name ? sorted(name) : undefined}>
          ${name ? html`<button type="button" class="quiet" onClick=${() => this.sort(name)}>${text}<span aria-hidden="true">${sorted(name) ? (filter.dir === "asc" ? " ▾" : " ▴") : ""}</span></button>` : text}</span>`)}
      </div>
      <div class="body" role="rowgroup" ref=${(element) => (this.body = element)} style=${{ height: `calc(var(--row) * ${ueids.length})` }}>${visible}</div>
    </div>`;
  }
}

function Row({ row, index, now, active, open }) {
  const view = viewOf(row, now);
  const reasons = reasonsOf(row, now);
  const mark = row.refused
    ? html`<span class="mark v-unverified" title=${`${row.refused} message(s) on this device's topic could not be verified; the newest: ${row.refused_code}`}>
        <${Icon} view="unverified" />${view === "unverified" ? "" : "unverified "}${row.refused > 1 ? `×${row.refused} ` : ""}<span class="code">${row.refused_code}</span> ${ago(row.refused_at, now)}</span>`
    : null;
  const click = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    open(row.ueid);
  };
  return html`<div class=${`row v-${view}${active ? " active" : ""}`} role="row" id=${`row-${row.ueid}`} aria-rowindex=${index + 2} data-ueid=${row.ueid} data-view=${view}
      style=${{ transform: `translateY(calc(var(--row) * ${index}))` }} onClick=${click}>
    <span role="gridcell" class="verdict"><${Icon} view=${view} /><span>${view}</span></span>
    <span role="gridcell" class="device"><a href=${`#/device/${row.ueid}`} tabindex="-1">${nameOf(row)}</a>
      ${row.label ? html`<span class="id">${shortUeid(row.ueid)}</span>` : null}</span>
    <span role="gridcell" class="why">${mark}<span class="reasons">${row.status ? reasons.join(", ") : ""}</span></span>
    <span role="gridcell" class="age">${row.made_after ? duration(Math.max(0, now - row.made_after)) : "–"}</span>
    <span role="gridcell" class="logs">${logText(row.logs)}</span>
    <span role="gridcell" class="clock">${rate(row.rate)}</span>
    <span role="gridcell" class="refused">${row.rejected ? `${row.rejected} by verifier` : "–"}</span>
  </div>`;
}
