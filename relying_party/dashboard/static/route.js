// The address: page, filter and order. It is kept in the hash, so that a link shows the same.

const DEFAULTS = { q: "", view: "", sort: "attention", dir: "asc" };

export function parseRoute(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split("?");
  const given = new URLSearchParams(query);
  const filter = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS)) if (given.has(name)) filter[name] = given.get(name).slice(0, 200);
  const device = path.match(/^\/device\/([A-Za-z0-9_-]{1,64})$/);
  if (device) return { page: "device", ueid: device[1], filter };
  return { page: path === "/handles" ? "handles" : "fleet", filter };
}

export function hashOf(route) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(route.filter)) if (value !== DEFAULTS[name]) query.set(name, value);
  const path = route.page === "device" ? `/device/${route.ueid}` : route.page === "handles" ? "/handles" : "/";
  const text = query.toString();
  return `#${path}${text ? `?${text}` : ""}`;
}
