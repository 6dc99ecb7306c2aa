// What every view is made of: the template function, icons, badges, small pieces. All text goes in as text.
import { Component, h, render } from "./vendor/preact.mjs";
import htm from "./vendor/htm.mjs";
import { VIEW_WORDS } from "./words.js";

export const html = htm.bind(h);
export { Component, render };

// A shape for each view: colour is never the only carrier of meaning.
const SHAPES = {
  affirming: ["M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13z", "m5 8.200 2.100 2.100L11.200 6"],
  warning: ["M8 1.800 15 14H1z", "M8 6v3.600M8 11.600v.6"],
  contraindicated: ["M5.300 1.5h5.400l3.800 3.800v5.400l-3.800 3.800H5.300l-3.800-3.800V5.300z", "m5.600 5.600 4.800 4.800m0-4.800-4.800 4.800"],
  stale: ["M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13z", "M8 4.5V8l2.5 1.700"],
  none: ["M3 1.800h10v12.400H3z", "M6.300 6.300a1.700 1.700 0 1 1 2.5 1.5c-.6.3-.8.6-.8 1.200M8 11.300v.5"],
  unverified: ["M8 1.300 14 3.5v4.700c0 3.300-2.400 5.5-6 6.5-3.600-1-6-3.200-6-6.5V3.5z", "m4 12.5 8-9"],
};

export function Icon({ view }) {
  const [outline, mark] = SHAPES[view] ?? SHAPES.none;
  return html`<svg class="icon v-${view}" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
    <path class="outline" d=${outline} /><path class="mark" d=${mark} /></svg>`;
}

export function Badge({ view, text }) {
  return html`<span class="badge v-${view}"><${Icon} view=${view} /><span>${text ?? VIEW_WORDS[view]?.name ?? view}</span></span>`;
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
