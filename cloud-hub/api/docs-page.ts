// `/api/docs`: one small page that reads /api/openapi.json and lists the routes with their schemas. No CDN, no framework; the
// script is allowed by its hash.
import { createHash } from 'node:crypto';

const SCRIPT = `
const make = (tag, text, parent) => { const e = document.createElement(tag); if (text) e.textContent = text; parent.append(e); return e; };
const schemaOf = (content) => content && Object.values(content)[0] && Object.values(content)[0].schema;
const block = (title, schema, parent) => {
  if (!schema) return;
  const details = make('details', '', parent);
  make('summary', title, details);
  make('pre', JSON.stringify(schema, null, 2), details);
};
fetch('/api/openapi.json').then((r) => r.json()).then((api) => {
  document.getElementById('version').textContent = api.info.version;
  const main = document.querySelector('main');
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths))
    for (const [method, route] of Object.entries(methods)) {
      const tag = (route.tags || ['other'])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push({ path, method, route });
    }
  for (const [tag, routes] of groups) {
    make('h2', tag, main);
    for (const { path, method, route } of routes) {
      const section = make('section', '', main);
      const head = make('h3', '', section);
      make('b', method.toUpperCase(), head);
      make('code', ' ' + path, head);
      if (route.description) make('p', route.description, section);
      block('query and path', route.parameters, section);
      block('body', schemaOf(route.requestBody && route.requestBody.content), section);
      for (const [status, response] of Object.entries(route.responses || {}))
        block('answer ' + status, schemaOf(response.content), section);
    }
  }
}).catch((error) => { document.querySelector('main').textContent = 'The description could not be read: ' + error; });
`;

const STYLE = `
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem 2rem;color:#17242c;background:#fafbfb}
h2{margin-top:2rem;border-bottom:1px solid #cfd8dc}h3{font-weight:400;margin:.8rem 0 .2rem}b{color:#00606e}
section{margin-left:.5rem}p{margin:.2rem 0;white-space:pre-line}pre{background:#eef2f3;padding:.6rem;overflow:auto;font-size:12px}
@media(prefers-color-scheme:dark){body{background:#10181c;color:#dce5e8}pre{background:#1a252b}b{color:#6fd3e0}}
`;

const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

export const docsPage = {
  html:
    `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
    `<title>Tidegate admin API</title><style>${STYLE}</style>` +
    `<h1>Tidegate admin API <small id="version"></small></h1>` +
    `<p>OpenAPI 3.1: <a href="/api/openapi.json">/api/openapi.json</a>. Send <code>Authorization: Bearer TOKEN</code>.</p>` +
    `<main></main><script>${SCRIPT}</script></html>`,
  contentSecurityPolicy: `default-src 'none'; connect-src 'self'; style-src ${hashOf(STYLE)}; script-src ${hashOf(SCRIPT)}`,
} as const;
