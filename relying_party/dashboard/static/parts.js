// The parts of every view: the template function, icons, badges, small pieces. All text is inserted as text.
import { Component, h, render } from "./vendor/preact.mjs";
import htm from "./vendor/htm.mjs";

export const html = htm.bind(h);
export { Component, render };

// A shape for each view, so that colour never carries meaning alone.
const SHAPES = {
  affirming: ["M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13z", "m5 8.2 2.1 2.1L11.2 6"],
  warning: ["M8 1.8 15 14H1z", "M8 6v3.6M8 11.6v.6"],
  contraindicated: ["M5.3 1.5h5.4l3.8 3.8v5.4l-3.8 3.8H5.3l-3.8-3.8V5.3z", "m5.6 5.6 4.8 4.8m0-4.8-4.8 4.8"],
  stale: ["M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13z", "M8 4.5V8l2.5 1.7"],
  none: ["M3 1.8h10v12.4H3z", "M6.3 6.3a1.7 1.7 0 1 1 2.5 1.5c-.6.3-.8.6-.8 1.2M8 11.3v.5"],
  unverified: ["M8 1.3 14 3.5v4.7c0 3.3-2.4 5.5-6 6.5-3.6-1-6-3.2-6-6.5V3.5z", "m4 12.5 8-9"],
};

export function Icon({ view }) {
  const [outline, mark] = SHAPES[view] ?? SHAPES.none;
  return html`<svg class="icon v-${view}" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
    <path class="outline" d=${outline} /><path class="sign" d=${mark} /></svg>`;
}

export function Badge({ view, text }) {
  return html`<span class="badge v-${view}"><${Icon} view=${view} /><span>${text ?? view}</span></span>`;
}

export function Card({ title, note, id, wide, children }) {
  return html`<section class=${`card${wide ? " wide" : ""}`} aria-labelledby=${id}>
    <h2 id=${id}>${title}</h2>${note ? html`<p class="note">${note}</p>` : null}${children}</section>`;
}

export function Empty({ title, children }) {
  return html`<div class="empty"><h2>${title}</h2>${children}</div>`;
}

export class Copy extends Component {
  constructor() {
    super();
    this.state = { done: false };
  }
  render({ text, label }) {
    const copy = async () => {
      try {
        await navigator.clipboard.writeText(text);
        this.setState({ done: true });
        setTimeout(() => this.setState({ done: false }), 1500);
      } catch {
        this.setState({ done: false });
      }
    };
    return html`<button type="button" class="quiet" onClick=${copy} aria-label=${`Copy ${label}`}>${this.state.done ? "copied" : "copy"}</button>`;
  }
}
