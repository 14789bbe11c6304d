import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { AgentState } from '@tidegate/edge-agent/state/agent-state.js';
import { checkDatabase } from '@tidegate/edge-agent/state/check-database.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('check-database');

it('makes nothing where there is none, and leaves nothing beside a sound one', async () => {
  const dataDir = newFolder();
  const path = join(dataDir, 'state.db');
  expect(checkDatabase(path)).toEqual({ state: 'none' });
  expect(readdirSync(dataDir)).toEqual([]);
  const modules = { files: systemFiles, log: silentLog, clock: systemClock };
  const state = await AgentState.open(dataDir, modules);
  expect(checkDatabase(path)).toEqual({ state: 'in-use' });
  state.close();
  expect(checkDatabase(path)).toEqual({ state: 'sound' });
  expect(readdirSync(dataDir)).toEqual(['state.db']);
  (await AgentState.open(dataDir, modules)).close(); // as before
});

it('tells what is no database from one', () => {
  const path = join(newFolder(), 'state.db');
  writeFileSync(path, 'x'.repeat(8192));
  expect(checkDatabase(path)).toMatchObject({ state: 'broken', reason: expect.stringContaining('database') as string });
});
