import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { settingsDocument } from '@tidegate/edge-agent/config/settings-docs.js';

it('docs/settings.md is the settings table', () => {
  const path = new URL('../../../docs/settings.md', import.meta.url);
  expect(readFileSync(path, 'utf8')).toBe(settingsDocument());
});
