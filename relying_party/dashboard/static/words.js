// Words and numbers for people. Pure.

export const VIEWS = ["affirming", "warning", "contraindicated", "stale", "none", "unverified"];
// The order of urgency.
export const URGENCY = { contraindicated: 0, unverified: 1, warning: 2, none: 3, stale: 4, affirming: 5 };
export const VIEW_WORDS = {
  affirming: { name: "affirming", meaning: "A trusted verifier recently found everything as the policy requires." },
  warning: { name: "warning", meaning: "A trusted verifier found something that the policy tolerates but that needs a look." },
  contraindicated: { name: "contraindicated", meaning: "A trusted verifier found something that must not be there. Do not rely on this device." },
  stale: { name: "stale", meaning: "There is no recent result. Late is not bad, but it affirms nothing." },
  none: { name: "none", meaning: "Undecided: something that a verdict needs is missing. The reasons name it." },
  unverified: { name: "unverified", meaning: "The newest message about it does not verify, or no trusted verifier has ever signed a result about it." },
};
export const CLAIM_WORDS = {
  "instance-identity": "Identity: the endorser vouches for the key that signs",
  configuration: "Configuration: firmware settings, boot configuration",
  executables: "Running software: firmware, boot loader, kernel, programs",
  "file-system": "Other files: those that the kernel measured",
  hardware: "Hardware: a genuine TPM of a known manufacturer",
  "runtime-opaque": "Whether memory is hidden from others",
  "storage-opaque": "Whether storage is hidden from others",
  "sourced-data": "Whether its data comes from attested sources",
};
export const FRESHNESS_WORDS = {
  fresh: "recent enough for the policy",
  stale: "too old, or no evidence arrived in time",
  pending: "the verifier does not know the handle yet that the evidence names",
  unsynchronised: "since its reset, no handle is linked to the TPM's clock",
  contradicted: "the TPM's statements about time cannot all be true",
};
export const FIT_WORDS = {
  first: "first one seen",
  known: "seen before",
  linked: "follows the handle before",
  gap: "gap: its predecessor was not seen",
  forked: "FORK: two handles claim this place",
};

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
