// Verifies a result's signature in the browser, without relying on the server's check: ES256 by one of the trusted
// keys, over a JWT (RFC 7515) or a CWT in COSE_Sign1 (RFC 8392, RFC 9052). The keys come from api/keys.
import { decode, encodeString, hex, Tagged, toPlain } from "./cbor.js";

const ES256 = { name: "ECDSA", hash: "SHA-256" };
const CURVE = { name: "ECDSA", namedCurve: "P-256" };
const TAG_CWT = 61;
const TAG_SIGN1 = 18;
const COSE = { algorithm: 1, keyId: 4, type: 16, es256: -7 };
const CWT = { issuer: 1, expires: 4, issued: 6, ueid: 256, status: 1000 };
const TIERS = { 0: "none", 2: "affirming", 32: "warning", 96: "contraindicated" };

export function canVerify() {
  return globalThis.crypto?.subtle !== undefined;
}

export async function importKeys(jwks) {
  const keys = new Map();
  for (const { kty, crv, x, y } of jwks.keys) {
    const key = await crypto.subtle.importKey("jwk", { kty, crv, x, y, ext: true }, CURVE, true, ["verify"]);
    // A key's id is computed from the key; the id in the key set is only for people.
    const digest = await crypto.subtle.digest("SHA-256", await crypto.subtle.exportKey("spki", key));
    keys.set(hex(new Uint8Array(digest, 0, 8)), key);
  }
  return keys;
}

// The outcome of each step; `ok` only if all steps are.
export async function verifyResult(raw, jwks, ueid, now) {
  const steps = [];
  const step = (name, ok, detail = "") => steps.push({ name, ok, detail });
  let parsed = null;
  try {
    parsed = isJwt(raw) ? parseJwt(raw) : parseCwt(raw);
    step("Form", true, `${parsed.form}, ES256, of the type of an attestation result`);
    const key = (await importKeys(jwks)).get(parsed.keyId);
    step("Key", key !== undefined, key ? `signed by ${parsed.keyId}, a trusted verifier` : `claims to be signed by ${parsed.keyId || "no key"}, which is not trusted`);
    const valid = key !== undefined && (await crypto.subtle.verify(ES256, key, parsed.signature, parsed.signed));
    step("Signature", valid, valid ? "matches these bytes and this key" : "does not match: no trusted verifier signed these bytes");
    const claims = parsed.claims();
    parsed.summary = claims;
    step("Attester", claims.ueid === ueid, claims.ueid === ueid ? "is about this device" : `is about ${claims.ueid}`);
    const inForce = now < claims.expires;
    step("In force", inForce, inForce ? "has not expired" : "has expired: it tells nothing about the present");
  } catch (error) {
    step("Form", false, String(error.message ?? error));
  }
  const signatureOk = steps.length > 2 && steps.slice(0, 4).every((each) => each.ok);
  return { ok: steps.every((each) => each.ok), signatureOk, steps, form: parsed?.form ?? "neither JWT nor CWT", content: parsed?.content ?? "", summary: parsed?.summary };
}

function isJwt(raw) {
  return raw[0] === 0x65 && raw[1] === 0x79;
}

function parseJwt(raw) {
  const text = new TextDecoder("ascii", { fatal: true }).decode(raw);
  const parts = text.split(".");
  if (parts.length !== 3) throw new Error("a JWT has three parts");
  const header = JSON.parse(utf8(fromBase64Url(parts[0])));
  if (header.alg !== "ES256" || header.typ !== "eat+jwt" || header.crit !== undefined) throw new Error("not ES256, or not of the type eat+jwt");
  const signature = fromBase64Url(parts[2]);
  if (signature.length !== 64) throw new Error("the signature does not have 64 bytes");
  const payload = utf8(fromBase64Url(parts[1]));
  const claims = () => {
    const { ueid, exp, iat, iss, ear_status: status } = JSON.parse(payload);
    return { ueid, expires: exp, issued: iat, issuer: iss, status };
  };
  const signed = new TextEncoder().encode(`${parts[0]}.${parts[1]}`);
  return { form: "JWT", keyId: String(header.kid), signature, signed, claims, content: pretty(() => JSON.parse(payload)) };
}

function parseCwt(raw) {
  let item = decode(raw);
  if (item instanceof Tagged && item.tag === TAG_CWT) item = item.value;
  if (!(item instanceof Tagged) || item.tag !== TAG_SIGN1 || !Array.isArray(item.value) || item.value.length !== 4) throw new Error("neither a JWT nor a COSE_Sign1");
  const [protectedBytes, , payload, signature] = item.value;
  const headers = decode(protectedBytes);
  if (headers.get(COSE.algorithm) !== COSE.es256 || headers.get(COSE.type) !== "application/eat+cwt") throw new Error("not ES256, or not of the type eat+cwt");
  if (signature.length !== 64) throw new Error("the signature does not have 64 bytes");
  const claims = () => {
    const map = decode(payload);
    return { ueid: toBase64Url(map.get(CWT.ueid)), expires: map.get(CWT.expires), issued: map.get(CWT.issued), issuer: map.get(CWT.issuer), status: TIERS[map.get(CWT.status)] };
  };
  const context = encodeString(3, new TextEncoder().encode("Signature1"));
  const signed = concat([Uint8Array.of(0x84), context, encodeString(2, protectedBytes), Uint8Array.of(0x40), encodeString(2, payload)]);
  const keyId = headers.get(COSE.keyId);
  return { form: "CWT", keyId: keyId instanceof Uint8Array ? hex(keyId) : "", signature, signed, claims, content: pretty(() => toPlain(decode(payload))) };
}

function pretty(read) {
  try {
    return JSON.stringify(read(), null, 2);
  } catch (error) {
    return `(cannot be read: ${error.message})`;
  }
}

function utf8(bytes) {
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}

function concat(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
}

function fromBase64Url(text) {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) throw new Error("not base64url");
  return fromBase64(text.replaceAll("-", "+").replaceAll("_", "/"));
}

function toBase64Url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
