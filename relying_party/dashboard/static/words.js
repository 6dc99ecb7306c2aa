// Words and numbers for people. Pure.

import { VIEW_TEXTS } from "./texts.js"; // made by the server

export const VIEWS = Object.keys(VIEW_TEXTS);
// The order of urgency.
export const URGENCY = { contraindicated: 0, unverified: 1, warning: 2, none: 3, stale: 4, affirming: 5 };

// How an attester is shown now; the same rule as the server's.
export function viewOf(row, now) {
  if (!row.status) return "unverified";
  const expired = now >= row.expires;
  const status = expired ? "none" : row.status;
  if (status === "warning" || status === "contraindicated") return status;
  if (row.refusal_stands) return "unverified";
  if (status === "affirming") return "affirming";
  return expired || row.freshness === "stale" ? "stale" : "none";
}

export function reasonsOf(row, now) {
  return row.status && now >= row.expires ? ["result-expired", ...row.reasons] : row.reasons;
}

export function shortUeid(ueid) {
  return ueid.length > 14 ? `${ueid.slice(0, 12)}…` : ueid;
}

export function printable(text) {
  // Control characters, and characters that change the direction of writing, are shown as numbers.
  return String(text).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (each) => `\\u{${each.codePointAt(0).toString(16)}}`);
}

export function nameOf(row) {
  return row.label ? printable(row.label) : shortUeid(row.ueid);
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  const sign = seconds < 0 ? "−" : "";
  const s = Math.abs(seconds);
  if (s < 0.001) return "0 s";
  if (s < 1) return `${sign}${Math.round(s * 1000)} ms`;
  if (s < 9.95) return `${sign}${s.toFixed(1)} s`;
  if (s < 120) return `${sign}${Math.round(s)} s`;
  if (s < 7200) return `${sign}${Math.round(s / 60)} min`;
  if (s < 172800) return `${sign}${Math.round(s / 3600)} h`;
  return `${sign}${Math.round(s / 86400)} d`;
}

export function ago(at, now) {
  if (!at) return "–";
  const s = now - at;
  return s < 0 ? `in ${duration(-s)}` : `${duration(s)} ago`;
}

export function moment(at) {
  if (!at) return "–";
  return new Date(at * 1000).toISOString().replace("T", " ").replace(/(\.\d\d\d)?Z$/, (_, ms) => `${ms === ".000" ? "" : (ms ?? "")} UTC`);
}

export function clockTime(at) {
  return new Date(at * 1000).toISOString().slice(11, 19);
}

export function rate(bounds) {
  if (!bounds) return "–";
  const [low, high] = bounds;
  const middle = (low + high) / 2;
  const reach = (high - low) / 2;
  if (reach >= 10000) return "–";
  const sign = (value, digits) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(digits)}`;
  return reach >= 1000 ? `${sign(middle / 10000, 1)} ±${(reach / 10000).toFixed(1)} %` : `${sign(middle, 0)} ±${reach.toFixed(0)} ppm`;
}

export function logText(logs) {
  return logs.map(([name, count, total]) => `${printable(name)} ${count}${total > count ? `/${total}` : ""}`).join(", ") || "–";
}

export function plural(count, one, many) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : (many ?? `${one}s`)}`;
}
