import { createHash } from 'node:crypto';
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Agent } from 'undici';
import type { TufRepository } from '@tidegate/cloud-hub/security/tuf-repository.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { TrustedTime } from '@tidegate/shared/tuf/trusted-time.js';
import { TufClient } from '@tidegate/shared/tuf/tuf-client.js';
import { failingFiles } from '../../support/failing-files.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryFolders } from '../../support/temporary-folder.js';
import { makeRepository, serveTuf, type TufServer } from '../../support/tuf-server.js';

const newFolder = temporaryFolders('tuf-client');
const startMs = Date.UTC(2026, 10, 24);
const dayMs = 86_400_000;
const never = new AbortController().signal;
const path = 'variants/0a1b.json';
const content = Buffer.from('{"kind":"variant","n":1}');
const targetUrl = (bytes: Uint8Array): string =>
  `/targets/variants/${createHash('sha256').update(bytes).digest('hex')}.0a1b.json`;

let hub: string;
let repository: TufRepository;
let server: TufServer;
let dispatcher: Agent;
let hubClock: ManualClock;
let deviceClock: ManualClock;
let deviceFolder: string;
let trustedTime: TrustedTime;

beforeEach(async () => {
  hubClock = new ManualClock(startMs);
  deviceClock = new ManualClock(startMs);
  hub = join(newFolder(), 'tuf');
  repository = await makeRepository(hub, hubClock);
  await repository.addTarget(path, content, { sizeBytes: 7 });
  server = await serveTuf(hub);
  dispatcher = new Agent();
  deviceFolder = newFolder();
});

afterEach(async () => {
  repository.close();
  await dispatcher.destroy();
  await server.close();
});

async function device(
  options: { files?: typeof systemFiles; root?: string; timeoutMs?: number } = {},
): Promise<TufClient> {
  const timePath = join(deviceFolder, 'trusted-time.json');
  trustedTime = await TrustedTime.open(
    { path: timePath, buildTimeMs: startMs - 30 * dayMs },
    { files: systemFiles, clock: deviceClock },
  );
  return TufClient.open(
    {
      folder: join(deviceFolder, 'tuf'),
      metadataUrl: server.metadataUrl,
      targetsUrl: server.targetsUrl,
      factoryRoot: options.root ?? repository.root(),
      timeoutMs: options.timeoutMs ?? 5000,
    },
    { files: options.files ?? systemFiles, dispatcher, trustedTime },
  );
}

/** A copy of what the hub serves now, to be served again later. */
function keep(): () => void {
  const copy = join(newFolder(), 'copy');
  cpSync(hub, copy, { recursive: true });
  return () => {
    rmSync(hub, { recursive: true });
    cpSync(copy, hub, { recursive: true });
  };
}

function edit(file: string, change: (text: string) => string): void {
  const name = join(hub, 'metadata', file);
  writeFileSync(name, change(readFileSync(name, 'utf8')));
}

describe('a good repository', () => {
  it('gives the target that was signed, with its custom metadata, and remembers it', async () => {
    const client = await device();
    expect(await client.cachedTarget(path)).toBe(undefined);
    const target = await client.verifiedTarget(path, never);
    expect(Buffer.from(target.bytes).equals(content)).toBe(true);
    expect(target.custom).toEqual({ sizeBytes: 7 });
    expect(await client.cachedTarget(path)).toEqual(target);
    expect(readdirSync(join(deviceFolder, 'tuf')).sort()).toEqual(['metadata', 'verified']);
  });

  it('sees new targets, and does not fetch a known one again', async () => {
    const client = await device();
    await client.verifiedTarget(path, never);
    const next = Buffer.from('{"n":2}');
    await repository.addTarget('variants/0a1b.json', next);
    expect(Buffer.from((await client.verifiedTarget(path, never)).bytes).equals(next)).toBe(true);
    server.asked.length = 0;
    await client.verifiedTarget(path, never);
    expect(server.asked.filter((asked) => asked.startsWith('/targets/'))).toEqual([]);
  });

  it('answers many questions at once, one after the other', async () => {
    await repository.addTargets(
      [1, 2, 3].map((n) => ({ path: `variants/${n}.json`, bytes: Buffer.from(`{"n":${n}}`) })),
    );
    const client = await device();
    const targets = await Promise.all([1, 2, 3].map((n) => client.verifiedTarget(`variants/${n}.json`, never)));
    expect(targets.map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(['{"n":1}', '{"n":2}', '{"n":3}']);
  });

  it('says unknown-target for what nobody signed', async () => {
    const client = await device();
    await expect(client.verifiedTarget('variants/ffff.json', never)).rejects.toMatchObject({ code: 'unknown-target' });
    await client.verifiedTarget(path, never);
  });

  it('forgets targets that are no longer named', async () => {
    const client = await device();
    await client.verifiedTarget(path, never);
    await client.forgetExcept([path]);
    expect(await client.cachedTarget(path)).toBeDefined();
    await client.forgetExcept([]);
    expect(await client.cachedTarget(path)).toBe(undefined);
  });
});

describe('tampering', () => {
  /** The attack is refused, nothing of it is kept, and the good repository works right after it. */
  async function refused(client: TufClient, code: string, restore: () => void): Promise<void> {
    await expect(client.verifiedTarget(path, never)).rejects.toMatchObject({ name: 'TufError', code });
    restore();
    server.replaced.clear();
    const target = await client.verifiedTarget(path, never);
    expect(Buffer.from(target.bytes).equals(content)).toBe(true);
  }

  it('changed target', async () => {
    const changed = Buffer.from(content);
    changed[20] = 57;
    server.replaced.set(targetUrl(content), changed);
    await refused(await device(), 'refused', () => undefined);
  });

  it('truncated target', async () => {
    server.replaced.set(targetUrl(content), content.subarray(0, 10));
    await refused(await device(), 'refused', () => undefined);
  });

  it('endless target', async () => {
    server.replaced.set(targetUrl(content), (response) => {
      response.write(content);
      response.write(Buffer.alloc(65_536)); // and never an end
    });
    await refused(await device(), 'refused', () => undefined);
  });

  it.each(['timestamp.json', '1.snapshot.json', '2.snapshot.json', '2.targets.json'])('changed %s', async (file) => {
    const restore = keep();
    edit(file, (text) => text.replace(/"expires":"20(\d\d)/, (_match, year) => `"expires":"20${Number(year) + 1}`));
    if (file === '1.snapshot.json') {
      // An old file that nothing names any more: of no consequence.
      await (await device()).verifiedTarget(path, never);
      return;
    }
    await refused(await device(), 'refused', restore);
  });

  it.each(['timestamp.json', '2.snapshot.json', '2.targets.json'])('truncated %s', async (file) => {
    const restore = keep();
    edit(file, (text) => text.slice(0, 200));
    await refused(await device(), 'refused', restore);
  });

  it.each([
    ['timestamp.json', '/metadata/timestamp.json'],
    ['root.json', '/metadata/2.root.json'],
  ])('endless %s', async (_name, url) => {
    server.replaced.set(url, (response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536, 32)));
        response.once('drain', more);
      };
      more();
    });
    await refused(await device(), 'refused', () => undefined);
  });

  it('an answer that never comes is an outage, not an attack, and ends in time', async () => {
    server.replaced.set('/metadata/timestamp.json', () => undefined);
    await refused(await device({ timeoutMs: 1000 }), 'unreachable', () => undefined);
  });

  it('signatures taken away', async () => {
    const restore = keep();
    edit('timestamp.json', (text) => JSON.stringify({ ...JSON.parse(text), signatures: [] }));
    await refused(await device(), 'refused', restore);
  });

  it('rolled back: timestamp, snapshot and targets of yesterday', async () => {
    const old = keep();
    const client = await device();
    await repository.addTarget('variants/9.json', Buffer.from('{}'));
    const now = keep();
    await client.verifiedTarget(path, never);
    old();
    await refused(client, 'refused', now);
  });

  it('mixed versions: a snapshot of yesterday under the timestamp of today', async () => {
    const client = await device();
    const yesterday = readFileSync(join(hub, 'metadata', '2.snapshot.json'));
    await repository.addTarget('variants/9.json', Buffer.from('{}'));
    server.replaced.set('/metadata/3.snapshot.json', yesterday);
    await refused(client, 'refused', () => undefined);
    await repository.addTarget('variants/10.json', Buffer.from('{}'));
    server.replaced.set('/metadata/4.targets.json', readFileSync(join(hub, 'metadata', '3.targets.json')));
    await refused(client, 'refused', () => undefined);
  });

  it('a foreign repository: everything signed, by other keys', async () => {
    const folder = join(newFolder(), 'foreign');
    const foreign = await makeRepository(folder, hubClock);
    await foreign.addTarget(path, Buffer.from('{"evil":true}'));
    foreign.close();
    const restore = keep();
    rmSync(hub, { recursive: true });
    cpSync(folder, hub, { recursive: true });
    await refused(await device({ root: repository.root() }), 'refused', restore);
  });

  it('a foreign root as the next root', async () => {
    const folder = join(newFolder(), 'foreign');
    const foreign = await makeRepository(folder, hubClock);
    foreign.close();
    const root = JSON.parse(foreign.root());
    root.signed.version = 2;
    server.replaced.set('/metadata/2.root.json', Buffer.from(JSON.stringify(root)));
    await refused(await device(), 'refused', () => undefined);
  });

  it('a root that is no JSON', async () => {
    server.replaced.set('/metadata/2.root.json', Buffer.from('<html>proxy error</html>'));
    await refused(await device(), 'refused', () => undefined);
  });

  it('a server error is an outage', async () => {
    server.replaced.set('/metadata/timestamp.json', 503);
    await refused(await device(), 'unreachable', () => undefined);
  });
});

describe('expiry, by trusted time (B1, B2)', () => {
  it('expired metadata authorise nothing new; what was verified stays usable', async () => {
    const client = await device();
    await client.verifiedTarget(path, never);
    await repository.addTarget('variants/9.json', Buffer.from('{}'));
    deviceClock.advance(8 * dayMs); // the timestamp's validity is 7 days, and the hub has stood still
    await expect(client.verifiedTarget('variants/9.json', never)).rejects.toMatchObject({ code: 'expired' });
    await expect(client.verifiedTarget(path, never)).rejects.toMatchObject({ code: 'expired' });
    expect(Buffer.from((await client.cachedTarget(path))!.bytes).equals(content)).toBe(true);
    hubClock.advance(8 * dayMs);
    await repository.renew();
    await client.verifiedTarget('variants/9.json', never); // one cycle, no restart
  });

  it('setting the clock back does not revive them', async () => {
    const client = await device();
    hubClock.advance(8 * dayMs);
    await repository.renew();
    const frozen = keep();
    await client.verifiedTarget(path, never); // the device has seen day 8
    hubClock.advance(8 * dayMs);
    await repository.renew();
    const now = keep();
    await client.verifiedTarget(path, never); // and day 16
    deviceClock.setWall(startMs + dayMs);
    expect(trustedTime.nowMs()).toBeGreaterThanOrEqual(startMs + 16 * dayMs);
    frozen();
    const other = await device(); // as after a restart, with the metadata lost
    rmSync(join(deviceFolder, 'tuf', 'metadata'), { recursive: true });
    await expect(other.verifiedTarget(path, never)).rejects.toMatchObject({ code: 'expired' });
    now();
    await other.verifiedTarget(path, never);
  });

  it.each([
    ['1970', 0],
    ['2 hours ahead', startMs + 2 * 3_600_000],
    ['2040', Date.UTC(2040, 0, 1)],
  ])('a device whose clock says %s takes what is fresh', async (_name, wallMs) => {
    deviceClock.setWall(wallMs);
    const client = await device();
    await client.verifiedTarget(path, never);
  });

  it('off for 400 days: walks the roots and converges in one cycle', async () => {
    const client = await device();
    await client.verifiedTarget(path, never);
    const factoryRoot = repository.root();
    for (let year = 0; year < 6; year += 1) {
      hubClock.advance(400 * dayMs);
      await repository.renew();
    }
    expect(repository.root()).not.toBe(factoryRoot); // a new root was signed on the way
    deviceClock.setWall(hubClock.nowMs());
    await client.verifiedTarget(path, never);
    expect(readFileSync(join(deviceFolder, 'tuf', 'metadata', 'root.json'), 'utf8')).toBe(repository.root());
  });
});

describe("the device's own disk", () => {
  it.each(['root.json', 'timestamp.json', 'snapshot.json', 'targets.json'])('torn %s: recovers', async (file) => {
    const client = await device();
    await client.verifiedTarget(path, never);
    const stored = join(deviceFolder, 'tuf', 'metadata', file);
    const whole = readFileSync(stored);
    truncateSync(stored, Math.floor(whole.length / 2));
    await client.verifiedTarget(path, never);
    expect(readFileSync(stored).equals(whole)).toBe(true);
  });

  it('a torn root does not end the protection against rollback', async () => {
    const old = keep();
    const client = await device();
    await repository.addTarget('variants/9.json', Buffer.from('{}'));
    await client.verifiedTarget(path, never);
    truncateSync(join(deviceFolder, 'tuf', 'metadata', 'root.json'), 5);
    old();
    await expect(client.verifiedTarget(path, never)).rejects.toMatchObject({ code: 'refused' });
  });

  it('a damaged record is not used, and is made anew', async () => {
    const client = await device();
    await client.verifiedTarget(path, never);
    const [name] = readdirSync(join(deviceFolder, 'tuf', 'verified'));
    const record = join(deviceFolder, 'tuf', 'verified', name!);
    const stored = JSON.parse(readFileSync(record, 'utf8'));
    writeFileSync(record, JSON.stringify({ ...stored, contentBase64: Buffer.from('{"evil":1}').toString('base64') }));
    expect(await client.cachedTarget(path)).toBe(undefined);
    await client.verifiedTarget(path, never);
    expect(await client.cachedTarget(path)).toBeDefined();
  });

  it('full at any write: a clear error, and the next check works (B5)', async () => {
    const files = failingFiles();
    const client = await device({ files });
    for (const tag of ['tuf.scratch', 'tuf.persist', 'tuf.record']) {
      files.failNext(tag, 'ENOSPC');
      await expect(client.verifiedTarget(path, never), tag).rejects.toMatchObject({ code: 'storage' });
    }
    await client.verifiedTarget(path, never);
  });

  it('an aborted check ends with the reason and leaves the next one working', async () => {
    const client = await device();
    const abort = new AbortController();
    server.replaced.set('/metadata/timestamp.json', () => abort.abort(new Error('shutting down')));
    await expect(client.verifiedTarget(path, abort.signal)).rejects.toThrow('shutting down');
    server.replaced.clear();
    await client.verifiedTarget(path, never);
  });
});
