import Database from 'better-sqlite3';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readAgentSettings } from '@tidegate/edge-agent/config/read-settings.js';
import { AgentState } from '@tidegate/edge-agent/state/agent-state.js';
import { collectBundle } from '@tidegate/edge-agent/support/collect-bundle.js';
import { secretValues, shownSettings } from '@tidegate/edge-agent/support/shown-settings.js';
import { systemClock as clock } from '@tidegate/shared/system/clock.js';
import { systemFiles as files } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('collect-bundle');
const environment = {
  TIDEGATE_API_TOKEN: 'a-token-of-16-chars',
  TIDEGATE_HUB: 'http://h',
  TIDEGATE_HUB_TOKEN: 'hub-t0ken',
};

async function collect(dataDir: string, logFile?: string) {
  const settings = readAgentSettings({ flags: { dataDir }, environment });
  const archive = await collectBundle(settings, logFile, {
    ...{ files, clock, version: '1' },
    ask: () => Promise.reject(new Error('nobody, not even with hub-t0ken')),
    examine: () => Promise.resolve([{ check: 'x', level: 'ok', found: 'y' }]),
  });
  return new Map(archive.map(({ path, data }) => [path, Buffer.from(data).toString()]));
}

describe('the bundle of a stopped device', () => {
  it('takes the desired document from the database, and leaves it as it was', async () => {
    const dataDir = newFolder();
    const still = new ManualClock(); // each start counts from its time at least
    const state = await AgentState.open(dataDir, { files, log: silentLog, clock: still });
    state.documents.saveDesired({ deviceId: 'd', version: 7, models: [], config: { telemetryIntervalMs: 1000 } });
    const seq = state.documents.counter('telemetry-seq');
    state.close();
    expect((await collect(dataDir)).get('state.json')).toContain('"version": 7');
    const again = await AgentState.open(dataDir, { files, log: silentLog, clock: still });
    expect(again.documents.counter('telemetry-seq')).toBe(seq);
    again.close();
  });

  it('leaves a database alone that another release made, whether or not it can be read', async () => {
    const dataDir = newFolder();
    const path = join(dataDir, 'state.db');
    (await AgentState.open(dataDir, { files, log: silentLog, clock })).close();
    const newer = new Database(path);
    newer.exec('CREATE TABLE of_tomorrow (x); PRAGMA user_version = 99');
    newer.close();
    expect((await collect(dataDir)).get('state.json')).toContain('"activations": []');
    const unreadable = new Database(path);
    unreadable.exec('DROP TABLE outbox');
    unreadable.close();
    expect((await collect(dataDir)).get('README.txt')).toContain('state.json: no such table: outbox');
    const left = new Database(path, { readonly: true });
    expect(left.pragma('user_version', { simple: true })).toBe(99);
    left.close();
    expect(existsSync(`${path}.corrupt`)).toBe(false);
  });

  it('names what is missing, in words without secrets', async () => {
    const bundle = await collect(newFolder());
    const about = bundle.get('README.txt');
    expect(about).toContain('metrics.txt: nobody, not even with (hidden)');
    expect(about).toContain('state.json: there is no database');
    expect(about).toMatch(/identity\.json: .* holds no identity/);
    expect([...bundle.keys()]).toEqual([
      ...['README.txt', 'versions.json', 'settings.json', 'doctor.json', 'active.json', 'files.txt'],
    ]);
  });

  it('takes the last MiB of a log, from the beginning of a line', async () => {
    const log = join(newFolder(), 'log');
    writeFileSync(log, Array.from({ length: 60_000 }, (_, i) => `line ${i} ${'x'.repeat(20)}\n`).join(''));
    const text = (await collect(newFolder(), log)).get('log.txt') ?? '';
    expect(text.length).toBeLessThanOrEqual(2 ** 20);
    expect(text.length).toBeGreaterThan(2 ** 20 - 100);
    expect(text).toMatch(/^line \d+ x/);
    expect(text).toContain('line 59999 ');
  });
});

it('shows of secret settings only that they are set', () => {
  const settings = readAgentSettings({ flags: {}, environment });
  const text = JSON.stringify(shownSettings(settings));
  expect(secretValues(settings)).toEqual(['a-token-of-16-chars', 'hub-t0ken']);
  for (const secret of secretValues(settings)) expect(text).not.toContain(secret);
  expect(shownSettings(settings)).toMatchObject({ 'http-port': 8000, 'api-token': '(set, hidden)' });
});
