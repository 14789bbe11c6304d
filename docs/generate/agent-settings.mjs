// Writes docs/settings.md from the agent's settings table. After a change: npm run build, then node docs/generate/agent-settings.mjs.
// With --check it writes nothing and exits 1 where the file is out of date.
import { readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { SETTINGS } from '../../edge-agent/dist/config/settings-table.js';
import { flagName, variableName } from '../../shared/dist/system/settings.js';

const page = fileURLToPath(new URL('../settings.md', import.meta.url));
const rows = Object.entries(SETTINGS).map(([name, { placeholder, fallback, allowed, description }]) => {
  const shown = fallback === undefined ? 'unset' : `\`${fallback.replace(homedir(), '~')}\``;
  return `| \`--${flagName(name)} ${placeholder}\` | \`${variableName(name)}\` | ${shown} | ${allowed} | ${description} |`;
});
const text = `# The agent's settings

Of \`tidegate-agent serve\` and \`run\`. A flag wins over the environment, that over the file given with \`--config\` (or \`TIDEGATE_CONFIG\`),
whose keys are the flags' names without the dashes (\`http-port: 8000\`). An unknown or wrong setting stops the start and says what is allowed.
Made from \`edge-agent/config/settings-table.ts\` by \`node docs/generate/agent-settings.mjs\`.

| flag | variable | default | allowed | what it does |
|---|---|---|---|---|
${rows.join('\n')}
`;

if (!process.argv.includes('--check')) writeFileSync(page, text);
else if (readFileSync(page, 'utf8') !== text) {
  console.error('docs/settings.md is out of date: node docs/generate/agent-settings.mjs');
  process.exit(1);
}
