// Shows the routes by Swagger UI, with the dashboard's token and examples that fit the policy in service.

import { make } from "./dom.js";
import { authorization, base, ofPolicy, reason, token } from "./server.js";

/** With a root, the address may name a policy: `?policy=NAME`. */
const policy = new URLSearchParams(location.search).get("policy");

/** Reads the description. With the token, its examples fit the policy. */
async function describe() {
  const response = await fetch(new URL(ofPolicy(policy, "sac/openapi.json"), base), { headers: authorization(), cache: "no-store" });
  if (!response.ok) throw new Error(await reason(response));
  const description = await response.json();
  // Requests go to where the page came from, also below a prefix.
  description.servers = [{ url: new URL(ofPolicy(policy, ""), base).href.replace(/\/$/, "") }];
  return description;
}

/** The operations that are read first, in this order. The others follow as the document has them. */
const ORDER = ["predict", "predict_batch", "stream", "info", "health", "candidates", "select", "promote", "reload", "benchmark", "infer"];
function rank(operation) {
  const place = ORDER.indexOf(operation.getIn(["operation", "operationId"]));
  return place < 0 ? ORDER.length : place;
}

/** Keeps the token that is entered here for the dashboard, and reads the description with it. */
const sharedToken = () => ({
  statePlugins: {
    auth: {
      wrapActions: {
        authorize: (authorize) => (given) => {
          token.set(given.bearer?.value);
          renew();
          return authorize(given);
        },
        logout: (logout) => (names) => {
          token.set(null);
          return logout(names);
        },
      },
    },
  },
});

/** Until Swagger UI has resolved an operation, it looks for it by another id than the document's, and then hangs. */
const identified = () => ({
  statePlugins: {
    spec: {
      wrapActions: {
        executeRequest: (execute, { specSelectors }) => (request) => {
          const id = specSelectors.specJson().getIn(["paths", request.pathName, request.method, "operationId"]);
          return execute({ ...request, operation: request.operation.set("operationId", id) });
        },
      },
    },
  },
});

/** Repairs of Swagger UI for readers of the screen and for the keyboard. */
const accessible = () => ({
  wrapComponents: {
    // A link within a button cannot be reached.
    DeepLink: (_, { React }) => ({ text }) => React.createElement("span", {}, text),
  },
});

/** Elements, and the attributes that they lack. */
const REPAIRS = [
  ["h3.opblock-tag, section.models h4", { ariaLevel: "2" }],
  [".modal-ux-content h4", { ariaLevel: "3" }],
  [".modal-ux-header h3", { ariaLevel: "2" }],
  [".close-modal", { ariaLabel: "Close" }],
  [".modal-btn.authorize", { ariaLabel: null }],
  [".opblock h4", { ariaLevel: "3" }],
  [".opblock h5", { ariaLevel: "4" }],
  [".copy-to-clipboard button", { ariaLabel: "Copy" }],
  ["textarea.body-param__text", { ariaLabel: "Body of the request" }],
  ["pre.microlight, .highlight-code pre, .curl-command pre", { tabIndex: 0 }],
];

function repair() {
  for (const [selector, attributes] of REPAIRS) {
    for (const found of document.querySelectorAll(selector)) Object.assign(found, attributes);
  }
  for (const table of document.querySelectorAll("[id$=_responses]")) table.ariaLabel = `Responses: ${table.id}`;
}
new MutationObserver(repair).observe(document.getElementById("swagger-ui"), { childList: true, subtree: true });

const dark = matchMedia("(prefers-color-scheme: dark)");
const showScheme = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", showScheme);
showScheme();

async function renew() {
  ui.specActions.updateSpec(JSON.stringify(await describe()));
}

let ui;
try {
  ui = SwaggerUIBundle({
    spec: await describe(),
    dom_id: "#swagger-ui",
    deepLinking: true,
    tryItOutEnabled: true,
    operationsSorter: (one, other) => rank(one) - rank(other),
    // The schemas are folded.
    defaultModelsExpandDepth: 0,
    // It would load from another origin.
    validatorUrl: null,
    plugins: [sharedToken, identified, accessible],
    onComplete: () => token.get() && ui.preauthorizeApiKey("bearer", token.get()),
  });
} catch (error) {
  await choose(error.message);
}

/** Without a default policy, each policy of the root has routes of its own. */
async function choose(trouble) {
  const response = await fetch(new URL("policies", base), { headers: authorization(), cache: "no-store" });
  const { policies } = response.ok ? await response.json() : { policies: [] };
  const links = policies.map(({ name }) => make("li", {}, make("a", { href: `?policy=${encodeURIComponent(name)}` }, name)));
  const words = links.length > 0 ? "Each policy has routes of its own:" : `The routes cannot be shown: ${trouble}.`;
  document.getElementById("swagger-ui").replaceChildren(make("h1", {}, "Routes"), make("p", {}, words), make("ul", {}, ...links));
}
