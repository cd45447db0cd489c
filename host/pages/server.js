// Asks the server that this page came from. Addresses are relative to this file's, so the pages work below a prefix.

const TIMEOUT_MS = 10_000;

/** The address of the dashboard. */
export const base = new URL(".", import.meta.url);

/** The token lives as long as the tab. The documentation uses the same. */
export const token = {
  get: () => sessionStorage.getItem("token"),
  set: (value) => (value ? sessionStorage.setItem("token", value) : sessionStorage.removeItem("token")),
};

export function authorization() {
  return token.get() ? { authorization: `Bearer ${token.get()}` } : {};
}

export async function ask(path, body) {
  return fetch(new URL(path, base), {
    method: body === undefined ? "GET" : "POST",
    body: body === undefined ? undefined : JSON.stringify(body),
    headers: authorization(),
    cache: "no-store",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
}

/** The address of a route of a policy; without a name, of the default policy. */
export const ofPolicy = (name, path) => (name ? `policies/${encodeURIComponent(name)}/${path}` : path);

/** The reason that an error's body gives. */
export async function reason(response) {
  const body = await response.json().catch(() => ({}));
  const detail = body.detail ?? body.error;
  if (Array.isArray(detail)) return detail.map(({ loc, msg }) => `${loc.join(".")}: ${msg}`).join("; ");
  return detail ?? `the server returned ${response.status}`;
}
