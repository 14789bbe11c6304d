// `tidegate sample` against a whole hub, with samples that a device sent.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { makeContext } from '@tidegate/cloud-hub/cli/context.js';
import { runProgram } from '@tidegate/cloud-hub/cli/program.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';
import { proposedSchema, sampleSchema } from '@tidegate/shared/wire/data-api.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runHubWithSamples, type HubWithSamples } from '../../support/hub-with-samples.js';
import { pngOf } from '../../support/png-bomb.js';
import { recordedStreams } from '../../support/silent-streams.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('cli-sample');
const BINARY = fileURLToPath(new URL('../../../cloud-hub/bin/tidegate.js', import.meta.url));
const PNG = new Uint8Array(pngOf(4, 4));
let hub: HubWithSamples;
/** Hexes, the oldest first; the last has a picture that the model doesn't take. */
const hexes: string[] = [];

beforeAll(async () => {
  hub = await runHubWithSamples(folder);
  for (let i = 0; i < 5; i += 1) hexes.push((await hub.send([0, 0, i, 9], { confidence: i / 10 })).hex);
  const picture = tensor('picture', 'BYTES', [1], encodeBytes([PNG]));
  hexes.push((await hub.send([9, 0, 0, 0], { confidence: 0.9, reason: 'random-share' }, [picture])).hex);
});
afterAll(() => hub.close());

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const streams = recordedStreams();
  const variables = { TIDEGATE_HUB: hub.running.url, TIDEGATE_TOKEN: hub.running.token };
  const context = makeContext({ ...streams, stdin: Readable.from([]) }, variables);
  const code = await runProgram(['sample', ...args], context);
  return { code, out: streams.out(), err: streams.err() };
}
const json = async (...args: string[]): Promise<unknown> => JSON.parse((await run(...args, '--json')).out);
const hexAt = (at: number): string => hexes.at(at) ?? '';

describe('list', () => {
  test('shows the newest first, as a table and as JSON', async () => {
    const { code, out } = await run('list');
    expect([code, out.split('\n')[0]]).toEqual([0, expect.stringMatching(/^SAMPLE +MODEL +STATE +LABEL +ANSWER/)]);
    expect(
      out
        .split('\n')
        .slice(1, -1)
        .map((line) => line.split(' ')[0]),
    ).toEqual(hexes.toReversed().map((hex) => hex.slice(0, 12)));
    expect(out).toMatch(/things@1 +new +- +bee +0\.900 +- +cam-1 +20/);
    const parsed = sampleSchema.array().parse(await json('list', '--limit', '2'));
    expect(parsed.map(({ id }) => id)).toEqual([`sha256:${hexAt(5)}`, `sha256:${hexAt(4)}`]);
  });

  test('says where there are more than it lists', async () => {
    expect((await run('list', '--limit', '2')).err).toBe(
      'there are more than these 2; --limit says how many to list\n',
    );
    expect((await run('list')).err).toBe('');
  });

  test('ends quietly where its reader has had enough', async () => {
    const env = { ...process.env, TIDEGATE_HUB: hub.running.url, TIDEGATE_TOKEN: hub.running.token };
    const child = spawn(process.execPath, [BINARY, 'sample', 'list'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    let err = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
    expect([await once(child, 'close'), err]).toEqual([[0, null], '']);
  });

  test('is narrowed by conditions, and tells where they are wrong', async () => {
    const found = sampleSchema.array().parse(await json('list', '--where', 'confidence<0.2 and device=cam-1'));
    expect(found.map(({ confidence }) => confidence)).toEqual([0.1, 0]);
    expect(await run('list', '--where', 'confidence<')).toMatchObject({
      code: 1,
      err: 'tidegate: where, at 12: expected a value behind confidence<; found the end\n',
    });
    expect(await run('list', '--limit', '0')).toMatchObject({ code: 2, err: expect.stringContaining('--limit') });
    expect(await run('list', '--limit', 'all')).toMatchObject({ code: 2, err: expect.stringContaining('--limit') });
  });
});

describe('show', () => {
  test('finds a sample by the beginning of its digest', async () => {
    const { code, out } = await run('show', hexAt(0).slice(0, 10));
    expect(code).toBe(0);
    expect(out).toContain(`sha256:${hexAt(0)}`);
    expect(out).toContain('things@1');
    expect(out).toContain('from cam-1: low-confidence');
    expect(out).toContain('inputs x FP32 [1, 4]');
    expect(sampleSchema.parse(await json('show', `sha256:${hexAt(0)}`)).id).toBe(`sha256:${hexAt(0)}`);
  });

  test('writes its picture, where it has one', async () => {
    const file = join(folder(), 'hard.png');
    expect((await run('show', hexAt(5), '--picture', file)).code).toBe(0);
    expect(Buffer.compare(readFileSync(file), PNG)).toBe(0);
    expect(await run('show', hexAt(0), '--picture', file)).toMatchObject({
      code: 1,
      err: expect.stringContaining('no input'),
    });
    expect((await run('show', hexAt(5), '--picture', join(folder(), 'no', 'x.png'))).err).toContain("can't be written");
  });

  test('says what isn’t there and what isn’t enough', async () => {
    expect(await run('show', '0'.repeat(64))).toMatchObject({
      code: 1,
      err: expect.stringContaining('no sample 0000'),
    });
    for (const text of ['7', 'latest', 'ABCDEF', "abcd* or id='x'"]) expect((await run('show', text)).code).toBe(2);
    const missing = await run('show');
    expect(missing.code).toBe(2);
  });
});

describe('judging', () => {
  test('label, reject, reopen and accept print what the samples now are', async () => {
    expect(await run('label', hexAt(0), 'cat')).toMatchObject({ code: 0, out: expect.stringMatching(/labelled +cat/) });
    expect(await run('label', hexAt(0), 'cow')).toMatchObject({
      code: 1,
      err: 'tidegate: label: "cow" is no class of things: ant, bee, cat, dog\n',
    });
    const rejected = sampleSchema.array().parse(await json('reject', hexAt(0), hexAt(1)));
    expect(rejected.map(({ state }) => state)).toEqual(['rejected', 'rejected']);
    const reopened = sampleSchema.array().parse(await json('reopen', hexAt(0), hexAt(1)));
    expect(reopened.map(({ state }) => state)).toEqual(['labelled', 'new']);
    expect(await run('accept', hexAt(1))).toMatchObject({ code: 1, err: expect.stringContaining('no proposal') });
  });

  test('propose asks for named samples or for all that conditions pick', async () => {
    const [one] = sampleSchema.array().parse(await json('propose', hexAt(2)));
    expect(one?.proposal).toMatchObject({ label: 'dog', version: 1 });
    expect((await run('accept', hexAt(2))).out).toMatch(/labelled +dog/);
    const all = await run('propose', '--where', 'model=things');
    expect(all).toMatchObject({ code: 0, out: '4 proposed, 1 failed\n' });
    expect(all.err).toMatch(new RegExp(`^${hexAt(5).slice(0, 12)}: things@1: .*picture`));
    const again = proposedSchema.omit({ more: true }).parse(await json('propose', '--where', 'confidence<0.5'));
    expect(again).toEqual({ proposed: 0, failed: 0, failures: [] });
    for (const args of [[], [hexAt(0), '--where', 'model=things']]) {
      expect(await run('propose', ...args)).toMatchObject({ code: 2, err: expect.stringContaining('--where') });
    }
  });

  test('delete removes for good', async () => {
    expect(await run('delete', hexAt(3))).toMatchObject({ code: 0, out: `${hexAt(3).slice(0, 12)} is deleted\n` });
    expect((await run('show', hexAt(3))).code).toBe(1);
  });
});
