import { openSharedCache } from '@tidegate/cloud-hub/composition/open-shared-cache.js';
import { listAudit } from '@tidegate/cloud-hub/security/audit.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { expect, test } from 'vitest';
import { ManualClock } from '../../support/manual-clock.js';
import { hubSettings } from '../../support/running-hub.js';

test('an operator drops shared answers and is named for it; a hub that shares none drops none', async () => {
  const db = await openSqlite(':memory:');
  const open = (flags: Record<string, string>) =>
    openSharedCache({ settings: hubSettings('/nowhere', flags), db, clock: new ManualClock() });
  const { answers, drop } = open({ sharedCacheWitnesses: '1' });
  answers?.offer('k', { model: 'm', version: sha256('v'), variant: sha256('d'), tag: [] }, Buffer.from('x'), 'cam-1');
  expect(await drop({ model: 'm' }, 'token:ann')).toBe(1);
  const off = open({ sharedCache: '0' });
  expect([off.answers, await off.drop({ all: true }, 'token:ann')]).toEqual([undefined, 0]);
  const rows = await listAudit(db, { limit: 9 });
  expect(rows.map(({ actor, subject, detail }) => [actor, subject, detail['removed']])).toEqual([
    ['token:ann', 'all models', 0],
    ['token:ann', 'm', 1],
  ]);
  await db.destroy();
});
