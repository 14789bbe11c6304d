// Writes docs/hub-settings.md from the hub's settings table. After a change: npm run build, then node docs/generate/hub-settings.mjs.
// With --check it writes nothing and exits 1 where the file is out of date.
import { readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { HUB_SETTINGS } from '../../cloud-hub/dist/config/settings-table.js';
import { flagName, variableName } from '../../shared/dist/system/settings.js';

const page = fileURLToPath(new URL('../hub-settings.md', import.meta.url));
const rows = Object.entries(HUB_SETTINGS).map(([name, { placeholder, fallback, allowed, description }]) => {
  const shown = fallback === undefined ? 'unset' : `\`${fallback.replace(homedir(), '~')}\``;
  return `| \`--${flagName(name)} ${placeholder}\` | \`${variableName(name)}\` | ${shown} | ${allowed} | ${description} |`;
});
const text = `# The hub's settings

Of \`tidegate-hub serve\`; \`init\` takes \`--data-dir\`. A flag wins over the environment, that over the file given with \`--config\` (or
\`TIDEGATE_CONFIG\`), whose keys are the flags' names without the dashes (\`http-port: 9000\`). An unknown or wrong setting stops the start and says
what is allowed. Made from \`cloud-hub/config/settings-table.ts\` by \`node docs/generate/hub-settings.mjs\`.

| flag | variable | default | allowed | what it does |
|---|---|---|---|---|
${rows.join('\n')}

The operator's command line (\`tidegate\`) takes \`TIDEGATE_HUB\` and \`TIDEGATE_TOKEN\`, or what \`tidegate login\` stored under
\`TIDEGATE_CONFIG_DIR\` (default \`~/.config/tidegate\`).
`;

if (!process.argv.includes('--check')) writeFileSync(page, text);
else if (readFileSync(page, 'utf8') !== text) {
  console.error('docs/hub-settings.md is out of date: node docs/generate/hub-settings.mjs');
  process.exit(1);
}
