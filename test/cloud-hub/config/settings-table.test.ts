import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { FOREIGN_VARIABLES, HUB_SETTINGS } from '@tidegate/cloud-hub/config/settings-table.js';
import { readSettings, variableName } from '@tidegate/shared/system/settings.js';
import { expect, test } from 'vitest';

test('every fallback is allowed by its own schema', () => {
  const settings = readSettings(HUB_SETTINGS, { flags: {}, environment: {} });
  expect(settings).toMatchObject({
    host: '127.0.0.1',
    httpPort: 9000,
    grpcPort: 9001,
    devicePort: 9443,
    mqttPort: 9883,
    drainTimeout: 30_000,
  });
  expect(settings.maxPackageSize).toBe(16 * 1024 ** 3);
});

test('the command line’s variables are not taken for settings, and none is both', () => {
  const environment = Object.fromEntries(FOREIGN_VARIABLES.map((name) => [name, 'x']));
  expect(() =>
    readSettings(HUB_SETTINGS, { flags: {}, environment, foreignVariables: FOREIGN_VARIABLES }),
  ).not.toThrow();
  const own = new Set(Object.keys(HUB_SETTINGS).map(variableName));
  expect(FOREIGN_VARIABLES.filter((name) => own.has(name))).toEqual([]);
});

test('docs/hub-settings.md is the settings table', () => {
  const script = fileURLToPath(new URL('../../../docs/generate/hub-settings.mjs', import.meta.url));
  expect(() => execFileSync(process.execPath, [script, '--check'], { stdio: 'pipe' })).not.toThrow();
});
