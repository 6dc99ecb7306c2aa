// The page: header, notices, and one of three views.
import { DevicePage } from "./device.js";
import { FleetPage } from "./fleet.js";
import { HandlesPage } from "./health.js";
import { Component, html, render } from "./parts.js";
import { hashOf, parseRoute } from "./route.js";
import { Store } from "./store.js";
import { plural, printable } from "./words.js";

const THEMES = ["auto", "light", "dark"];
const LINK_WORDS = { live: "live", connecting: "connecting", lost: "reconnecting" };

function storedTheme() {
  try {
    const theme = localStorage.getItem("theme");
    return THEMES.includes(theme) ? theme : "auto";
  } catch {
    return "auto";
  }
}

function applyTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // without storage the choice lasts until the page is closed
  }
}

class App extends Component {
  constructor({ store }) {
    super();
    this.state = { route: parseRoute(location.hash), theme: storedTheme(), tick: 0 };
    store.subscribe((kind) => {
      if (kind !== "rows") this.setState({ tick: this.state.tick + 1 });
    });
    addEventListener("hashchange", () => this.go(parseRoute(location.hash)));
    document.querySelector("[data-skip]").addEventListener("click", (event) => {
      event.preventDefault();
      document.getElementById("main").focus();
    });
    document.addEventListener("keydown", (event) => this.key(event));
  }

  go(route) {
    const before = this.state.route;
    if (before.page === "fleet" && route.page !== "fleet") this.scroll = scrollY;
    this.setState({ route }, () => {
      if (before.page === route.page && before.ueid === route.ueid) return;
      scrollTo(0, route.page === "fleet" ? (this.scroll ?? 0) : 0);
      document.getElementById(route.page === "fleet" ? "list" : "main")?.focus({ preventScroll: true });
    });
  }

  key(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input, select, textarea");
    if (event.key === "/" && !typing) {
      event.preventDefault();
      if (this.state.route.page !== "fleet") this.navigate({ page: "fleet" });
      requestAnimationFrame(() => document.getElementById("search")?.focus());
    } else if (event.key === "Escape" && !typing && this.state.route.page !== "fleet") {
      this.navigate({ page: "fleet" });
    }
  }

  navigate(changes, replace = false) {
    const route = { ...this.state.route, ...changes };
    const hash = hashOf(route);
    if (hash === location.hash) return;
    if (replace) {
      history.replaceState(null, "", hash);
      this.setState({ route });
    } else location.hash = hash;
  }

  render({ store }, { route, theme }) {
    const href = (page) => hashOf({ ...route, page });
    const current = (page) => (route.page === page ? "page" : undefined);
    const nextTheme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    const switchTheme = () => {
      applyTheme(nextTheme);
      this.setState({ theme: nextTheme });
    };
    const user = store.about?.user;
    return html`
      <header class="top">
        <a class="brand" href=${href("fleet")}><img src="static/icon.svg" alt="" width="22" height="22" />attestream</a>
        <nav aria-label="Views">
          <a href=${href("fleet")} aria-current=${current("fleet")}>Fleet</a>
          <a href=${href("handles")} aria-current=${current("handles")}>Handles</a>
        </nav>
        <span class="spring"></span>
        <span class=${`link l-${store.link}`} role="status"><span class="dot" aria-hidden="true"></span>${LINK_WORDS[store.link]}</span>
        <button type="button" class="quiet" onClick=${switchTheme} aria-label=${`Colours: ${theme}. Change to ${nextTheme}.`} title="Colours">
          <span aria-hidden="true">${{ auto: "◐", light: "☀", dark: "☾" }[theme]}</span> <span class="wide-only">${theme}</span></button>
        ${user ? html`<form method="post" action="logout" class="user"><span class="wide-only">${printable(user.name)} · ${user.role}</span>
          <button class="quiet">log out</button></form>` : null}
      </header>
      <${Notices} store=${store} />
      <main id="main" tabindex="-1">${this.page(store, route)}</main>
      <footer class="foot"><p>Read-only. This server has verified that a trusted verifier signed every verdict;
        a device's page verifies it again in your browser.</p>
        <p class="keys"><kbd>/</kbd> search <kbd>↑</kbd><kbd>↓</kbd> move <kbd>Enter</kbd> open <kbd>Esc</kbd> back</p></footer>`;
  }

  page(store, route) {
    if (!store.loaded) return html`<p class="boot">${store.failure ? `The server does not answer: ${store.failure}. Trying again …` : "Loading the fleet …"}</p>`;
    const navigate = (changes, replace) => this.navigate(changes, replace);
    if (route.page === "device") return html`<${DevicePage} key=${route.ueid} store=${store} ueid=${route.ueid} back=${hashOf({ ...route, page: "fleet" })} />`;
    if (route.page === "handles") return html`<${HandlesPage} store=${store} />`;
    return html`<${FleetPage} store=${store} filter=${route.filter} navigate=${navigate} />`;
  }
}

function Notices({ store }) {
  const state = store.state;
  if (!state) return null;
  const notices = [];
  if (store.link === "lost") notices.push(["bad", "The server of this page does not answer. The page shows the last known state; trying again."]);
  if (!state.connected) notices.push(["bad", `The broker ${state.broker} cannot be reached, so no new result can arrive. Is it running, and is its address in [mqtt] right? Trying again.`]);
  if (state.behind) notices.push(["warn", `This server is behind: ${plural(state.behind, "message")} wait to be verified, so this page is out of date.`]);
  const refused = state.refused_codes["result-signature-invalid"] ?? 0;
  if (state.refused && !state.results) {
    notices.push(["bad", `${plural(state.refused, "result")} arrived and none could be verified: ${printable(state.refused_why)}. The trusted keys are ${state.believed.join(", ")}. If the verifier is yours, add its public key to verifier_keys.`]);
  } else if (state.refused) {
    notices.push(["warn", `${plural(state.refused, "message")} on the results topic could not be verified${refused ? ": somebody else signed them, or they were changed" : ""}. The affected devices are marked.`]);
  }
  return html`<div class="notices" role="status" aria-live="polite">${notices.map(([kind, text]) => html`<p class=${`notice ${kind}`} key=${kind + text.slice(0, 12)}>${text}</p>`)}</div>`;
}

applyTheme(storedTheme());
const store = new Store();
globalThis.attestream = store; // for inspection with the browser's developer tools
const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} store=${store} />`, root);
store.start();
