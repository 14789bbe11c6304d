import { openSharedCache } from '@tidegate/cloud-hub/composition/open-shared-cache.js';
import { listAudit } from '@tidegate/cloud-hub/security/audit.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { AnswerCache } from '@tidegate/shared/cache/answer-cache.js';
import { MemoryLayer } from '@tidegate/shared/cache/memory-layer.js';
import { expect, test } from 'vitest';
import { cacheEntry } from '../../support/cache-entries.js';
import { ManualClock } from '../../support/manual-clock.js';
import { hubSettings } from '../../support/running-hub.js';

test('an operator drops shared answers and the hub’s own, and is named for it; a hub that has none drops none', async () => {
  const db = await openSqlite(':memory:');
  const clock = new ManualClock();
  const memory = new MemoryLayer({ limitBytes: 2 ** 20 }, { clock });
  const own = new AnswerCache({ layers: [memory], clock });
  const open = (flags: Record<string, string>) =>
    openSharedCache({ settings: hubSettings('/nowhere', flags), db, clock }, own);
  memory.put('k', cacheEntry(Uint8Array.of(8)));
  memory.put('other', cacheEntry(Uint8Array.of(8), { labels: { model: 'n', tags: [] } }));
  const { answers, drop } = open({ sharedCacheWitnesses: '1' });
  answers?.offer('k', { model: 'm', version: sha256('v'), variant: sha256('d'), tag: [] }, Buffer.from('x'), 'cam-1');
  expect(await drop({ model: 'm' }, 'token:ann')).toBe(2);
  expect(memory.counts.entries).toBe(1);
  const off = open({ sharedCache: '0' });
  expect([off.answers, await off.drop({ all: true }, 'token:ann')]).toEqual([undefined, 1]);
  const rows = await listAudit(db, { limit: 9 });
  expect(rows.map(({ actor, subject, detail }) => [actor, subject, detail['removed']])).toEqual([
    ['token:ann', 'all models', 1],
    ['token:ann', 'm', 2],
  ]);
  await db.destroy();
});
