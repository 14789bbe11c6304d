// docs/settings.md, made from the settings table. `node edge-agent/dist/config/settings-docs.js > docs/settings.md` writes
// it; a test fails while the file and the table differ.
import { pathToFileURL } from 'node:url';
import { homedir } from 'node:os';
import { SETTINGS, SETTING_NAMES, flagName, variableName } from './settings-table.js';

export function settingsDocument(): string {
  const rows = SETTING_NAMES.map((name) => {
    const { placeholder, fallback, allowed, description } = SETTINGS[name];
    const shown = fallback === undefined ? 'unset' : `\`${fallback.replace(homedir(), '~')}\``;
    return `| \`--${flagName(name)} ${placeholder}\` | \`${variableName(name)}\` | ${shown} | ${allowed} | ${description} |`;
  });
  return [
    "# The agent's settings",
    '',
    'A flag wins over the environment, that over the file given with `--config` (or `TIDEGATE_CONFIG`), whose keys are the',
    "flags' names without the dashes (`http-port: 8000`). An unknown or wrong setting stops the start and says what is allowed.",
    'Made from `edge-agent/config/settings-table.ts` by `node edge-agent/dist/config/settings-docs.js > docs/settings.md`.',
    '',
    '| flag | variable | default | allowed | what it does |',
    '|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.stdout.write(settingsDocument());
}
