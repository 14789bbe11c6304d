import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Agent } from 'undici';
import { KeyStore } from '@tidegate/cloud-hub/security/key-store.js';
import { openTufRepository, TUF_VALIDITY_MS, type TufRepository } from '@tidegate/cloud-hub/security/tuf-repository.js';
import { systemFiles, type Files } from '@tidegate/shared/system/files.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { TrustedTime } from '@tidegate/shared/tuf/trusted-time.js';
import { TufClient } from '@tidegate/shared/tuf/tuf-client.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryFolders } from '../../support/temporary-folder.js';
import { makeRepository, serveTuf } from '../../support/tuf-server.js';

const newFolder = temporaryFolders('tuf-repository');
const startMs = Date.UTC(2026, 10, 24);
const dayMs = 86_400_000;
const never = new AbortController().signal;

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** What a new device gets from the folder for a path; the error's code where it is refused. */
async function asDevice(folder: string, root: string, path: string, clock: ManualClock): Promise<string> {
  const server = await serveTuf(folder);
  const dispatcher = new Agent();
  const own = newFolder();
  const modules = { files: systemFiles, clock };
  const trustedTime = await TrustedTime.open({ path: join(own, 'time'), buildTimeMs: startMs }, modules);
  const client = await TufClient.open(
    { folder: own, metadataUrl: server.metadataUrl, targetsUrl: server.targetsUrl, factoryRoot: root },
    { files: systemFiles, dispatcher, trustedTime },
  );
  try {
    return Buffer.from((await client.verifiedTarget(path, never)).bytes).toString();
  } catch (cause) {
    return (cause as { code: string }).code;
  } finally {
    await dispatcher.destroy();
    await server.close();
  }
}

/** Files of a process that is killed at its nth write: that one and all later ones never happen. */
function killedAtWrite(n: number): Files {
  let writes = 0;
  return {
    ...systemFiles,
    writeAtomic: async (tag, path, data, mode) => {
      writes += 1;
      if (writes >= n) throw new Error('killed');
      await systemFiles.writeAtomic(tag, path, data, mode);
    },
  };
}

async function open(folder: string, files: Files, clock: ManualClock): Promise<TufRepository> {
  const keys = new KeyStore(`${folder}-keys`, systemFiles);
  await keys.makeMissing();
  return openTufRepository({ folder }, { keys, files, clock, log: silentLog });
}

describe('adding targets', () => {
  it('signs them under the path that a consistent snapshot has', async () => {
    const folder = join(newFolder(), 'tuf');
    const repository = await makeRepository(folder, new ManualClock(startMs));
    ends.push(() => repository.close());
    const bytes = Buffer.from('{"a":1}');
    await repository.addTarget('variants/aa.json', bytes, { sizeBytes: 9 });
    const hash = createHash('sha256').update(bytes).digest('hex');
    expect(readFileSync(repository.targetPath(`variants/${hash}.aa.json`)!).equals(bytes)).toBe(true);
    expect(repository.has('variants/aa.json', bytes)).toBe(true);
    expect(repository.has('variants/aa.json', Buffer.from('{}'))).toBe(false);
    expect(readdirSync(join(folder, 'metadata'))).toContain('2.targets.json');
  });

  it('changes nothing for a target that is signed already, and signs many at once with one number', async () => {
    const folder = join(newFolder(), 'tuf');
    const repository = await makeRepository(folder, new ManualClock(startMs));
    ends.push(() => repository.close());
    const targets = [1, 2, 3].map((n) => ({
      path: `variants/${n}.json`,
      bytes: Buffer.from(String(n)),
      custom: { n },
    }));
    await repository.addTargets(targets);
    const before = readdirSync(join(folder, 'metadata'));
    await repository.addTargets(targets);
    expect(readdirSync(join(folder, 'metadata'))).toEqual(before);
    expect(before.filter((name) => name.endsWith('targets.json'))).toEqual(['1.targets.json', '2.targets.json']);
  });

  it('serialises changes, so that none is lost', async () => {
    const clock = new ManualClock(startMs);
    const folder = join(newFolder(), 'tuf');
    const repository = await makeRepository(folder, clock);
    ends.push(() => repository.close());
    const paths = Array.from({ length: 10 }, (_, n) => `variants/${n}.json`);
    await Promise.all(paths.map((path) => repository.addTarget(path, Buffer.from(path))));
    for (const path of ['variants/0.json', 'variants/9.json']) {
      expect(await asDevice(folder, repository.root(), path, clock)).toBe(path);
    }
  });

  it.each(['', '/a', 'a//b', '../a', 'a/../b', 'a b', 'a\0', '.hidden', 'a/'])('refuses the path %j', async (path) => {
    const repository = await makeRepository(join(newFolder(), 'tuf'), new ManualClock(startMs));
    ends.push(() => repository.close());
    await expect(repository.addTarget(path, Buffer.from('x'))).rejects.toMatchObject({
      code: 'target-path',
      field: 'path',
    });
    expect(repository.targetPath(path)).toBe(undefined);
    await repository.addTarget('good.json', Buffer.from('x'));
  });

  it('names no file outside its folders', async () => {
    const repository = await makeRepository(join(newFolder(), 'tuf'), new ManualClock(startMs));
    ends.push(() => repository.close());
    for (const name of ['../../keys/ca.pem', 'root.json', '1.root.json.tmp', '%2e%2e', '', '1.other.json']) {
      expect(repository.metadataPath(name)).toBe(undefined);
    }
    expect(repository.metadataPath('1.root.json')).toBeDefined();
  });
});

describe('killed at any write', () => {
  it('leaves what was signed before, and a later run goes on', async () => {
    const clock = new ManualClock(startMs);
    for (let n = 1; n <= 6; n += 1) {
      const folder = join(newFolder(), 'tuf');
      const first = await open(folder, systemFiles, clock);
      await first.addTarget('variants/old.json', Buffer.from('old'));
      const root = first.root();
      first.close();
      const killed = await open(folder, killedAtWrite(n), clock);
      const adding = killed.addTarget('variants/new.json', Buffer.from('new'));
      if (n <= 4) await expect(adding).rejects.toThrow('killed');
      else await adding; // target, targets.json, snapshot.json, timestamp.json: four writes
      killed.close();
      expect(await asDevice(folder, root, 'variants/old.json', clock)).toBe('old');
      expect(await asDevice(folder, root, 'variants/new.json', clock)).toBe(n <= 4 ? 'unknown-target' : 'new');
      const before = new Map(
        readdirSync(join(folder, 'metadata')).map((name) => [
          name,
          readFileSync(join(folder, 'metadata', name), 'utf8'),
        ]),
      );
      const again = await open(folder, systemFiles, clock);
      await again.addTarget('variants/new.json', Buffer.from('new'));
      again.close();
      for (const path of ['old', 'new'])
        expect(await asDevice(folder, root, `variants/${path}.json`, clock)).toBe(path);
      for (const [name, text] of before) {
        // A numbered file is never written again, not even one that did not count yet.
        if (name !== 'timestamp.json') expect(readFileSync(join(folder, 'metadata', name), 'utf8')).toBe(text);
      }
    }
  });

  it('also while the first repository is made', async () => {
    const clock = new ManualClock(startMs);
    for (let n = 1; n <= 4; n += 1) {
      const folder = join(newFolder(), 'tuf');
      await expect(open(folder, killedAtWrite(n), clock)).rejects.toThrow('killed');
      const again = await open(folder, systemFiles, clock);
      await again.addTarget('a.json', Buffer.from('a'));
      again.close();
      expect(await asDevice(folder, again.root(), 'a.json', clock)).toBe('a');
    }
  });
});

describe('signing anew before the end', () => {
  it('happens by itself, and a device is served on at any time of a year', async () => {
    const clock = new ManualClock(startMs);
    const folder = join(newFolder(), 'tuf');
    const repository = await makeRepository(folder, clock);
    ends.push(() => repository.close());
    await repository.addTarget('a.json', Buffer.from('a'));
    for (const days of [3, 1, 12, 30, 150, 170]) {
      clock.advance(days * dayMs); // the hourly timer fires; its work is awaited through the queue of changes
      await repository.renew();
      expect(await asDevice(folder, repository.root(), 'a.json', clock)).toBe('a');
    }
  });

  it('happens at the start for what ended while the hub was off', async () => {
    const clock = new ManualClock(startMs);
    const folder = join(newFolder(), 'tuf');
    const first = await makeRepository(folder, clock);
    await first.addTarget('a.json', Buffer.from('a'));
    first.close();
    clock.setWall(startMs + 400 * dayMs);
    expect(await asDevice(folder, first.root(), 'a.json', clock)).toBe('expired');
    const second = await makeRepository(folder, clock);
    ends.push(() => second.close());
    expect(await asDevice(folder, first.root(), 'a.json', clock)).toBe('a');
  });

  it('does nothing while there is time', async () => {
    const clock = new ManualClock(startMs);
    const folder = join(newFolder(), 'tuf');
    const repository = await makeRepository(folder, clock);
    ends.push(() => repository.close());
    const before = readFileSync(join(folder, 'metadata', 'timestamp.json'), 'utf8');
    clock.advance(TUF_VALIDITY_MS.timestamp / 2 - 60_000);
    await repository.renew();
    expect(readFileSync(join(folder, 'metadata', 'timestamp.json'), 'utf8')).toBe(before);
  });
});

describe('with the keys taken away', () => {
  it('serves what was signed, refuses to sign more, says so, and goes on when they are back', async () => {
    const clock = new ManualClock(startMs);
    const folder = join(newFolder(), 'tuf');
    const first = await makeRepository(folder, clock);
    await first.addTarget('a.json', Buffer.from('a'));
    first.close();
    renameSync(`${folder}-keys`, `${folder}-away`);
    mkdirSync(`${folder}-keys`);
    const warnings: string[] = [];
    const log: Log = { ...silentLog, warn: (_fields, message) => void warnings.push(message) };
    const keys = new KeyStore(`${folder}-keys`, systemFiles);
    const repository = await openTufRepository({ folder }, { keys, files: systemFiles, clock, log });
    ends.push(() => repository.close());
    expect(await asDevice(folder, repository.root(), 'a.json', clock)).toBe('a');
    await expect(repository.addTarget('b.json', Buffer.from('b'))).rejects.toMatchObject({ code: 'keys-missing' });
    clock.advance(6 * dayMs);
    await repository.renew();
    expect(warnings[0]).toContain('could not be signed anew');
    renameSync(`${folder}-keys`, `${folder}-empty`);
    renameSync(`${folder}-away`, `${folder}-keys`);
    await repository.addTarget('b.json', Buffer.from('b'));
    expect(await asDevice(folder, repository.root(), 'b.json', clock)).toBe('b');
  });

  it('refuses to start a repository without keys', async () => {
    const folder = newFolder();
    const keys = new KeyStore(join(folder, 'none'), systemFiles);
    const modules = { keys, files: systemFiles, clock: new ManualClock(startMs), log: silentLog };
    await expect(openTufRepository({ folder: join(folder, 'tuf') }, modules)).rejects.toMatchObject({
      code: 'keys-missing',
    });
  });
});

describe('a damaged folder', () => {
  it('is said, not papered over', async () => {
    const folder = join(newFolder(), 'tuf');
    (await makeRepository(folder, new ManualClock(startMs))).close();
    writeFileSync(join(folder, 'metadata', 'timestamp.json'), '{"signed":');
    await expect(makeRepository(folder, new ManualClock(startMs))).rejects.toMatchObject({ code: 'metadata-damaged' });
  });
});
