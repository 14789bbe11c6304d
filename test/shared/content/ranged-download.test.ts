import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Agent } from 'undici';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import {
  DEFAULT_DOWNLOAD_POLICY,
  downloadBlob,
  type DownloadModules,
} from '@tidegate/shared/content/ranged-download.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { failingFiles } from '../../support/failing-files.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('download');
const data = randomBytes(2_000_000);
const digest = sha256(data);
const never = new AbortController().signal;
const quick = {
  ...DEFAULT_DOWNLOAD_POLICY,
  backoff: { baseMs: 2, maxMs: 20 },
  fruitlessAttemptsMax: 3,
  stallMs: 10_000,
  stallBytes: 1024,
};

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

type Answer = (req: IncomingMessage, res: ServerResponse, offset: number, nth: number) => void;

/** A server that answers in a way of the test's choosing; `seen` are the offsets asked for. */
async function serve(answer: Answer): Promise<{ url: string; seen: number[] }> {
  const seen: number[] = [];
  const server = createServer((req, res) => {
    const offset = Number(/^bytes=(\d+)-$/.exec(req.headers.range ?? '')?.[1] ?? 0);
    seen.push(offset);
    res.on('error', () => undefined); // the client's cut connections are what these tests are about
    answer(req, res, offset, seen.length);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ends.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/blob`, seen };
}

function partialHead(res: ServerResponse, offset: number, whole: Buffer = data): void {
  if (offset === 0) res.writeHead(200, { 'content-length': whole.length });
  else res.writeHead(206, { 'content-range': `bytes ${offset}-${whole.length - 1}/${whole.length}` });
}

async function modules(files = systemFiles): Promise<DownloadModules & { store: ContentStore }> {
  const dispatcher = new Agent();
  ends.push(() => dispatcher.destroy());
  const store = await ContentStore.open({ folder: newFolder() }, files);
  return { store, dispatcher, clock: systemClock, random: seededRandom(1), policy: quick };
}

describe('a good server', () => {
  it('brings the blob, with progress, and asks nothing when it is there already', async () => {
    const { url, seen } = await serve((_req, res) => {
      partialHead(res, 0);
      res.end(data);
    });
    const parts = await modules();
    const progress: number[] = [];
    const wanted = { url, digest, sizeBytes: data.length, onProgress: (n: number) => void progress.push(n) };
    const outcome = await downloadBlob(wanted, parts, never);
    expect(outcome).toEqual({ transferredBytes: data.length, resumedBytes: 0, attempts: 1 });
    expect(Buffer.from(await parts.store.read(digest)).equals(data)).toBe(true);
    expect(progress.at(-1)).toBe(data.length);
    expect(await downloadBlob(wanted, parts, never)).toMatchObject({ attempts: 0 });
    expect(seen.length).toBe(1);
  });
});

describe('a bad link (B7)', () => {
  it('cut again and again: continues where it stopped, progress only grows, little is sent twice', async () => {
    const { url } = await serve((_req, res, offset) => {
      partialHead(res, offset);
      res.write(data.subarray(offset, offset + 40_000), () => res.destroy());
    });
    const parts = await modules();
    const progress: number[] = [];
    const outcome = await downloadBlob(
      { url, digest, sizeBytes: data.length, onProgress: (n) => void progress.push(n) },
      parts,
      never,
    );
    expect(outcome.attempts).toBeGreaterThanOrEqual(50);
    expect(outcome.transferredBytes).toBeLessThanOrEqual(data.length * 1.02);
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
    expect(await parts.store.has(digest)).toBe(true);
  });

  it('a stalled stream is dialled again', async () => {
    const { url, seen } = await serve((_req, res, offset, nth) => {
      partialHead(res, offset);
      if (nth === 1)
        res.write(data.subarray(0, 1_000_000)); // and then silence
      else res.end(data.subarray(offset));
    });
    const parts = await modules();
    await downloadBlob(
      { url, digest, sizeBytes: data.length },
      { ...parts, policy: { ...quick, stallMs: 300 } },
      never,
    );
    expect(seen).toEqual([0, 1_000_000]);
  });

  it('continues after a restart of the program', async () => {
    const { url, seen } = await serve((_req, res, offset, nth) => {
      partialHead(res, offset);
      if (nth === 1) res.write(data.subarray(0, 700_000));
      else res.end(data.subarray(offset));
    });
    const parts = await modules();
    const stop = new AbortController();
    const first = downloadBlob(
      { url, digest, sizeBytes: data.length, onProgress: (n) => n === 700_000 && stop.abort(new Error('power cut')) },
      parts,
      stop.signal,
    );
    await expect(first).rejects.toThrow('power cut');
    const outcome = await downloadBlob({ url, digest, sizeBytes: data.length }, parts, never);
    expect(outcome).toMatchObject({ resumedBytes: 700_000, transferredBytes: data.length - 700_000 });
    expect(seen).toEqual([0, 700_000]);
  });

  it('gives up after a bounded number of fruitless attempts, and keeps what it has', async () => {
    const { url, seen } = await serve((_req, res, offset, nth) => {
      if (nth > 1) return void res.destroy();
      partialHead(res, offset);
      res.write(data.subarray(0, 500_000), () => res.destroy());
    });
    const parts = await modules();
    await expect(downloadBlob({ url, digest, sizeBytes: data.length }, parts, never)).rejects.toMatchObject({
      code: 'unreachable',
    });
    expect(seen.length).toBe(1 + quick.fruitlessAttemptsMax);
    expect(await parts.store.partialBytes(digest)).toBe(500_000);
  });
});

describe('a server with other habits', () => {
  it('ignores Range: what is there already is skipped', async () => {
    const { url } = await serve((_req, res, _offset, nth) => {
      partialHead(res, 0);
      if (nth === 1) res.write(data.subarray(0, 900_000), () => res.destroy());
      else res.end(data);
    });
    const parts = await modules();
    const progress: number[] = [];
    await downloadBlob({ url, digest, sizeBytes: data.length, onProgress: (n) => void progress.push(n) }, parts, never);
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
  });

  it('is busy: 503 with Retry-After, then 500, then good', async () => {
    const { url, seen } = await serve((_req, res, _offset, nth) => {
      if (nth <= 2) return void res.writeHead(nth === 1 ? 503 : 500, { 'retry-after': '1' }).end();
      partialHead(res, 0);
      res.end(data);
    });
    await downloadBlob({ url, digest, sizeBytes: data.length }, await modules(), never);
    expect(seen.length).toBe(3);
  });

  it('refuses: no retry', async () => {
    const { url, seen } = await serve((_req, res) => void res.writeHead(404).end('no'));
    await expect(downloadBlob({ url, digest, sizeBytes: data.length }, await modules(), never)).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringContaining('404'),
    });
    expect(seen.length).toBe(1);
  });

  it('answers another range than asked for: refused', async () => {
    const { url } = await serve((_req, res, offset, nth) => {
      if (nth === 1) {
        partialHead(res, 0);
        return void res.write(data.subarray(0, 100_000), () => res.destroy());
      }
      res.writeHead(206, { 'content-range': `bytes ${offset + 1}-${data.length - 1}/${data.length}` });
      res.end(data.subarray(offset + 1));
    });
    await expect(downloadBlob({ url, digest, sizeBytes: data.length }, await modules(), never)).rejects.toMatchObject({
      code: 'refused',
    });
  });
});

describe('wrong bytes', () => {
  const wrong = Buffer.from(data);
  wrong[1_999_999] = wrong[1_999_999]! ^ 1;

  it('are discarded and named', async () => {
    const { url } = await serve((_req, res, offset) => {
      partialHead(res, offset, wrong);
      res.end(wrong.subarray(offset));
    });
    const parts = await modules();
    await expect(downloadBlob({ url, digest, sizeBytes: data.length }, parts, never)).rejects.toMatchObject({
      code: 'digest-mismatch',
    });
    expect(await parts.store.has(digest)).toBe(false);
    expect(await parts.store.partialBytes(digest)).toBe(0);
  });

  it('too many of them: cut off at the stated size', async () => {
    const { url } = await serve((_req, res) => {
      res.writeHead(200);
      res.write(data);
      res.write(Buffer.alloc(100)); // and would go on without end
    });
    const parts = await modules();
    await expect(downloadBlob({ url, digest, sizeBytes: data.length }, parts, never)).rejects.toMatchObject({
      code: 'size-mismatch',
    });
    expect(await parts.store.partialBytes(digest)).toBe(0);
  });

  it('left by an earlier run are replaced by one download from the start', async () => {
    const { url, seen } = await serve((_req, res, offset) => {
      partialHead(res, offset);
      res.end(data.subarray(offset));
    });
    const parts = await modules();
    const partial = await parts.store.resume({ digest, sizeBytes: data.length });
    await partial.write(wrong.subarray(1_000_000)); // a million bytes that don't belong there
    await partial.pause();
    await downloadBlob({ url, digest, sizeBytes: data.length }, parts, never);
    expect(seen).toEqual([1_000_000, 0]);
    expect(Buffer.from(await parts.store.read(digest)).equals(data)).toBe(true);
  });
});

describe('a full disk (B5)', () => {
  it('is refused before the first byte, and in the middle nothing is lost', async () => {
    const { url, seen } = await serve((_req, res, offset) => {
      partialHead(res, offset);
      res.end(data.subarray(offset));
    });
    const files = failingFiles();
    const parts = await modules(files);
    files.pretendFreeBytes(16 * 1024 * 1024 + 1_000_000);
    await expect(downloadBlob({ url, digest, sizeBytes: data.length }, parts, never)).rejects.toMatchObject({
      code: 'no-space',
      needBytes: data.length,
      haveBytes: 1_000_000,
    });
    expect(seen).toEqual([]);
    files.pretendFreeBytes(undefined);
    files.failNext('content.append', 'ENOSPC', 1000);
    await expect(downloadBlob({ url, digest, sizeBytes: data.length }, parts, never)).rejects.toMatchObject({
      code: 'no-space',
    });
    expect(await parts.store.partialBytes(digest)).toBe(1000);
    await downloadBlob({ url, digest, sizeBytes: data.length }, parts, never);
    expect(seen).toEqual([0, 1000]);
  });
});
