import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readNewest } from '@tidegate/cloud-hub/security/tuf-repository-state.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryFolders } from '../../support/temporary-folder.js';
import { makeRepository } from '../../support/tuf-server.js';

const newFolder = temporaryFolders('tuf-state');

describe('reading a repository folder', () => {
  it('finds nothing in an empty one', async () => {
    const state = await readNewest(newFolder(), systemFiles);
    expect(state).toEqual({ root: undefined, current: undefined, highest: { root: 0, targets: 0, snapshot: 0 } });
  });

  it('takes what the timestamp names, and knows of higher numbers that do not count', async () => {
    const folder = join(newFolder(), 'tuf');
    const repository = await makeRepository(folder, new ManualClock());
    await repository.addTarget('a.json', Buffer.from('a'));
    repository.close();
    const metadata = join(folder, 'metadata');
    writeFileSync(join(metadata, '7.targets.json'), 'half');
    const state = await readNewest(metadata, systemFiles);
    expect(state.highest).toEqual({ root: 1, targets: 7, snapshot: 2 });
    expect(state.current?.targets.signed.version).toBe(2);
    rmSync(join(metadata, '2.snapshot.json'));
    await expect(readNewest(metadata, systemFiles)).rejects.toMatchObject({ code: 'metadata-damaged' });
  });
});
