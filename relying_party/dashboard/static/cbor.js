// A small strict CBOR reader (RFC 8949): definite lengths in their shortest form, no repeated keys, no bytes left over.
// Bounded in depth; refuses integers that JavaScript would round. It reads everything that a CWT needs, but no floats.

const MAX_DEPTH = 16;
const MAX_ITEMS = 20000;

export class Tagged {
  constructor(tag, value) {
    this.tag = tag;
    this.value = value;
  }
}

export function decode(bytes) {
  const reader = { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at: 0, items: 0 };
  const value = item(reader, 0);
  if (reader.at !== bytes.length) throw new Error("bytes are left over after the CBOR item");
  return value;
}

function item(reader, depth) {
  if (depth > MAX_DEPTH) throw new Error("CBOR is nested too deep");
  if (++reader.items > MAX_ITEMS) throw new Error("too many CBOR items");
  const head = take(reader, 1)[0];
  const major = head >> 5;
  const info = head & 31;
  if (major === 7) {
    if (info === 20) return false;
    if (info === 21) return true;
    if (info === 22) return null;
    throw new Error("a simple value or float, which no result contains");
  }
  const count = argument(reader, info);
  if (major === 0) return count;
  if (major === 1) return -1 - count;
  if (major === 2) return take(reader, count);
  if (major === 3) return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(take(reader, count));
  if (major === 6) return new Tagged(count, item(reader, depth + 1));
  if (count > reader.bytes.length - reader.at) throw new Error("CBOR ends too early");
  return major === 4 ? array(reader, count, depth) : map(reader, count, depth);
}

function array(reader, count, depth) {
  const values = [];
  for (let index = 0; index < count; index += 1) values.push(item(reader, depth + 1));
  return values;
}

function map(reader, count, depth) {
  const values = new Map();
  for (let index = 0; index < count; index += 1) {
    const key = item(reader, depth + 1);
    if (typeof key !== "string" && typeof key !== "number") throw new Error("a CBOR key is neither text nor a number");
    if (values.has(key)) throw new Error("a CBOR key occurs twice");
    values.set(key, item(reader, depth + 1));
  }
  return values;
}

function argument(reader, info) {
  if (info < 24) return info;
  if (info > 27) throw new Error("indefinite or reserved length in CBOR");
  const size = 1 << (info - 24);
  const start = reader.at;
  take(reader, size);
  const value = size === 1 ? reader.view.getUint8(start) : size === 2 ? reader.view.getUint16(start) : size === 4 ? reader.view.getUint32(start) : Number(reader.view.getBigUint64(start));
  const least = size === 1 ? 24 : 2 ** (4 * size);
  if (value < least) throw new Error("a CBOR length is not in its shortest form");
  if (!Number.isSafeInteger(value)) throw new Error("a CBOR integer is too large");
  return value;
}

function take(reader, count) {
  if (count > reader.bytes.length - reader.at) throw new Error("CBOR ends too early");
  const taken = reader.bytes.subarray(reader.at, reader.at + count);
  reader.at += count;
  return taken;
}

// The head and the bytes of a byte string or text, as COSE needs them for the signed bytes.
export function encodeString(major, bytes) {
  const length = bytes.length;
  const head = length < 24 ? [length] : length < 256 ? [24, length] : length < 65536 ? [25, length >> 8, length & 255] : [26, length >>> 24, (length >> 16) & 255, (length >> 8) & 255, length & 255];
  head[0] |= major << 5;
  return Uint8Array.from([...head, ...bytes]);
}

// CBOR values as JSON values: maps as objects, bytes as hexadecimal text.
export function toPlain(value) {
  if (value instanceof Uint8Array) return hex(value);
  if (value instanceof Tagged) return { tag: value.tag, value: toPlain(value.value) };
  if (Array.isArray(value)) return value.map(toPlain);
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, each]) => [String(key), toPlain(each)]));
  return value;
}

export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
