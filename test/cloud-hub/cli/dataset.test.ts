// `tidegate dataset` against a hub in this process with examples/digits: pictures in, versions, differences, a folder out, and in again.
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { makeContext } from '@tidegate/cloud-hub/cli/context.js';
import { runProgram } from '@tidegate/cloud-hub/cli/program.js';
import { encodePng } from '@tidegate/shared/tensor/png.js';
import { float32Of } from '@tidegate/shared/tensor/tensor.js';
import {
  datasetDiffSchema,
  datasetManifestSchema,
  datasetReadSchema,
  datasetVersionSchema,
  sampleSchema,
  type DatasetVersion,
} from '@tidegate/shared/wire/data-api.js';
import { pageOf } from '@tidegate/shared/wire/admin-api.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { runHub, type RunningHub } from '../../support/running-hub.js';
import { recordedStreams } from '../../support/silent-streams.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('dataset-cli');
const DIGITS = fileURLToPath(new URL('../../../examples/digits/', import.meta.url));
let running: RunningHub;

async function run(args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const streams = recordedStreams();
  const variables = { TIDEGATE_HUB: running.url, TIDEGATE_TOKEN: running.token };
  const context = makeContext({ ...streams, stdin: Readable.from(['']) }, variables);
  return { code: await runProgram(args, context), out: streams.out(), err: streams.err() };
}
async function version(args: readonly string[]): Promise<DatasetVersion> {
  const { code, out, err } = await run([...args, '--json']);
  expect([code, code === 0 ? '' : err]).toEqual([0, '']);
  return datasetVersionSchema.parse(JSON.parse(out));
}

/** A digits package without goldens, so that publishing takes a moment only. */
beforeAll(async () => {
  running = await runHub(folder());
  const path = folder();
  await fs.copyFile(join(DIGITS, 'digits.onnx'), join(path, 'digits.onnx'));
  const yaml = await fs.readFile(join(DIGITS, 'model.yaml'), 'utf8');
  await fs.writeFile(join(path, 'model.yaml'), yaml.replace(/^goldens:.*$/m, ''));
  expect(await run(['model', 'publish', path])).toMatchObject({ code: 0 });
});
afterAll(() => running.hub.drain());

const levels = (seed: number): Uint8Array => {
  const random = seededRandom(seed);
  return Uint8Array.from({ length: 784 }, () => Math.floor(random.next() * 256));
};

/** A picture per seed, in a folder per last digit. */
async function pictures(seeds: readonly number[], into = folder()): Promise<string> {
  for (const seed of seeds) {
    await fs.mkdir(join(into, String(seed % 10)), { recursive: true });
    await fs.writeFile(join(into, String(seed % 10), `${seed}.png`), encodePng(28, 28, 1, levels(seed)));
  }
  return into;
}
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
const importing = (path: string, name: string, ...more: string[]): string[] => [
  ...['dataset', 'import', path, '--model', 'digits', '--name', name],
  ...more,
];
const bodies = async (): Promise<number> =>
  (await running.client.list('/api/v1/samples?limit=500', pageOf(sampleSchema))).length;

describe('import', () => {
  test('of a folder per class makes labelled samples once, and freezes exactly these', async () => {
    const path = await pictures(range(0, 30));
    const before = await bodies();
    const first = await run(importing(path, 'clean', '--held-out', '0%'));
    expect(first).toMatchObject({ code: 0, err: 'sent 30 samples\n' });
    expect(first.out).toMatch(/^clean@1 {2}digits {2}sha256:[0-9a-f]{64}\n30 samples: 30 train, 0 held out \(0%\)/);
    expect(first.out).toMatch(/\n7 +3\n/);
    const again = await run(importing(path, 'clean', '--held-out', '0%', '--json'));
    expect(again.err).toBe('sent 0 of 30 samples, the hub had the others\n');
    expect(datasetVersionSchema.parse(JSON.parse(again.out))).toMatchObject({ version: 1, from: 'import clean' });
    expect((await bodies()) - before).toBe(30);
    const held = await version(importing(path, 'clean-test', '--held-out', '100%'));
    expect(held.counts).toEqual({ train: 0, 'held-out': 30 });
    expect((await bodies()) - before).toBe(30); // the same samples under another name
    await fs.rm(join(path, '7'), { recursive: true });
    expect(await version(importing(path, 'clean', '--held-out', '0%'))).toMatchObject({ version: 2, count: 27 });
  });

  test('makes the tensor that the device would have captured: level / 255', async () => {
    const { items } = await running.client.get('/api/v1/samples?where=batch%3Dclean&limit=500', pageOf(sampleSchema));
    const [sample] = items;
    expect(sample).toMatchObject({ state: 'labelled', labelSource: 'import', reason: 'import', batch: 'clean' });
    expect(sample?.inputs).toEqual([{ name: 'image', datatype: 'FP32', shape: [1, 1, 28, 28] }]);
    const hex = sample!.id.slice('sha256:'.length);
    const { body } = await running.client.raw('GET', `/api/v1/samples/${hex}/inputs/image`);
    const seed = range(0, 30).find((one) =>
      levels(one).every(
        (level, i) => float32Of({ datatype: 'FP32', shape: [784], data: body })[i] === Math.fround(level / 255),
      ),
    );
    expect(String(seed! % 10)).toBe(sample!.label);
  });

  test('of a CSV takes its labels and its sides', async () => {
    const path = await pictures([100, 101, 102]);
    const rows = [
      'path,label,split',
      '0/100.png,5,held-out',
      '1/101.png,6,train',
      '2/102.png,6,train',
      '2/102.png,6,train',
    ];
    await fs.writeFile(join(path, 'labels.csv'), rows.join('\n'));
    const ran = await run(importing(path, 'sides', '--json'));
    expect(ran.err).toContain('1 files repeat others');
    expect(datasetVersionSchema.parse(JSON.parse(ran.out))).toMatchObject({
      ...{ counts: { train: 2, 'held-out': 1 }, labels: { 5: 1, 6: 2 }, heldOut: 1 / 3 },
    });
    expect(await run(importing(path, 'sides', '--held-out', '10%'))).toMatchObject({ code: 2 });
    expect((await version(importing(path, 'sides', '--label-from', 'folder'))).labels).toEqual({ 0: 1, 1: 1, 2: 1 });
  });

  test('that goes wrong names the file or the option, and freezes nothing', async () => {
    const wrong = async (args: string[], code: number, message: string): Promise<void> => {
      const ran = await run(args);
      expect([ran.code, ran.err]).toEqual([code, expect.stringContaining(message)]);
    };
    const path = await pictures([200, 201]);
    await fs.writeFile(join(path, '1', 'small.png'), encodePng(14, 14, 1, new Uint8Array(196)));
    await wrong(
      importing(path, 'bad'),
      1,
      `${join(path, '1', 'small.png')} is 14 x 14, but digits takes 28 x 28; --resize`,
    );
    expect(await version(importing(path, 'resized', '--resize'))).toMatchObject({ count: 3 });
    await fs.writeFile(join(path, '1', 'small.png'), 'no picture');
    await wrong(importing(path, 'bad'), 1, join(path, '1', 'small.png'));
    await fs.rename(join(path, '1'), join(path, 'one'));
    await fs.rm(join(path, 'one', 'small.png'));
    await wrong(importing(path, 'bad'), 1, '"one" is no class of digits');
    await fs.mkdir(join(path, '3'));
    await fs.copyFile(join(path, 'one', '201.png'), join(path, '3', 'same.png'));
    await wrong(importing(path, 'bad'), 1, 'are the same sample, but its label is 3 and one');
    await wrong(importing(join(path, 'none'), 'bad'), 2, 'does not exist');
    await wrong(['dataset', 'import', path, '--model', 'none', '--name', 'bad'], 1, 'no ready version of a model none');
    await wrong(importing(path, 'Bad Name'), 1, 'must be 1 to 63 of');
    await wrong(importing(path, 'bad', '--held-out', '120%'), 2, '--held-out');
    await wrong(importing(path, 'bad', '--label-from', 'stars'), 2, 'label-from');
    await wrong(['dataset', 'show', 'bad'], 1, 'no dataset bad');
  });
});

describe('versions', () => {
  test('create freezes a query; list, show and diff tell of it', async () => {
    await version(importing(await pictures(range(300, 320)), 'base'));
    const made = await version([
      'dataset',
      'create',
      'low',
      '--from',
      'batch=base and (label=1 or label=2)',
      '--held-out',
      '0.5',
    ]);
    expect(made).toMatchObject({ version: 1, count: 4, heldOut: 0.5 });
    const again = await run(['dataset', 'create', 'low', '--from', 'batch=base', '--model', 'digits']);
    expect(again.out).toMatch(/^low@2 {2}digits/);
    expect(again.out).toContain('from model=digits and batch=base');
    expect((await run(['dataset', 'list'])).out).toMatch(/\nlow@2 +digits +20 /);
    expect((await run(['dataset', 'show', 'low'])).out).toMatch(/\nlow@2 [^\n]*\nlow@1 /);
    expect((await run(['dataset', 'show', 'low@1'])).out).toContain('4 samples:');
    const diff = await run(['dataset', 'diff', 'low@1']);
    expect(diff.out).toMatch(
      /^low@1 -> low@2: 16 added, 0 removed, 0 relabelled\n\nCHANGE +SAMPLE +LABEL\nadded +sha256:/,
    );
    const back = datasetDiffSchema.parse(JSON.parse((await run(['dataset', 'diff', 'low@2', 'low@1', '--json'])).out));
    expect([back.added.length, back.removed.length]).toEqual([0, 16]);
    for (const [args, code] of [
      [['dataset', 'diff', 'low'], 2],
      [['dataset', 'diff', 'low@1', 'base@1'], 2],
      [['dataset', 'show', '@1'], 2],
      [['dataset', 'show', 'low@9'], 1],
      [['dataset', 'create', 'low', '--from', 'label='], 1],
      [['dataset', 'create', 'low'], 2],
    ] as const) {
      expect((await run(args)).code).toBe(code);
    }
  });

  test('stats reads all of it and says how fast', async () => {
    const ran = await run(['dataset', 'stats', 'base']);
    expect(ran.out).toMatch(
      /^base@1, prepared by digits@1: 20 samples, 6[0-9]\.[0-9] KiB of tensors in [0-9.]+ s\n[0-9]+ samples\/s, /,
    );
    expect(datasetReadSchema.parse(JSON.parse((await run(['dataset', 'stats', 'base', '--json'])).out)).samples).toBe(
      20,
    );
    expect(await run(['dataset', 'stats', 'base', '--graph', 'none.onnx'])).toMatchObject({ code: 1 });
  });

  test.each(['create', 'import', 'list', 'show', 'diff', 'export', 'stats'])(
    '%s has help with an example',
    async (verb) => {
      const { code, out } = await run(['dataset', verb, '--help']);
      expect([code, out]).toEqual([0, expect.stringContaining(`tidegate dataset ${verb}`)]);
      expect(out).toContain('Example');
    },
  );
});

describe('export', () => {
  let made: DatasetVersion;
  let target: string;
  beforeEach(async () => {
    made = await version(importing(await pictures(range(400, 410)), 'out', '--held-out', '40%'));
    target = join(folder(), 'deep', 'out');
  });
  const files = async (): Promise<string[]> =>
    (await fs.readdir(target, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(target.length + 1))
      .sort();

  test('is pictures by side and label, the manifest and a list; imported again it is the same samples', async () => {
    expect(await run(['dataset', 'export', 'out@1', target])).toMatchObject({
      code: 0,
      out: `out@1: 10 samples in ${target}, 10 written now\n`,
    });
    const manifest = await fs.readFile(join(target, 'manifest.json'));
    expect(sha256(manifest)).toBe(made.digest);
    const { items } = datasetManifestSchema.parse(JSON.parse(manifest.toString()));
    const paths = items.map(({ id, label, split }) => `${split}/${label}/${id.slice(7, 39)}.png`);
    expect(await files()).toEqual([...paths, 'labels.csv', 'manifest.json'].sort());
    const csv = await fs.readFile(join(target, 'labels.csv'), 'utf8');
    expect(csv).toBe(['path,label,split,id', ...items.map(({ id, label, split }, i) => `${paths[i]},${label},${split},${id}`), ''].join('\n')); // prettier-ignore
    const back = await run(importing(target, 'back', '--json'));
    expect(back.err).toContain('sent 0 of 10');
    const again = datasetVersionSchema.parse(JSON.parse(back.out));
    expect([again.counts, again.labels]).toEqual([made.counts, made.labels]);
  });

  test('again writes nothing; interrupted it goes on, fetching what is missing', async () => {
    await run(['dataset', 'export', 'out@1', target]);
    const whole = await files();
    const list = await fs.readFile(join(target, 'labels.csv'), 'utf8');
    expect((await run(['dataset', 'export', 'out@1', target])).out).toContain(' 0 written now');
    const lost = whole.filter((path) => path.endsWith('.png')).slice(0, 3);
    for (const path of lost) await fs.rm(join(target, path));
    expect(JSON.parse((await run(['dataset', 'export', 'out', target, '--json'])).out)).toMatchObject({
      written: 3,
      samples: 10,
    });
    const lines = list.split('\n');
    await fs.rm(join(target, 'labels.csv'));
    await fs.writeFile(
      join(target, 'labels.csv.partial'),
      `${lines.slice(1, 5).join('\n')}\n${lines[5]!.slice(0, 20)}`,
    );
    expect((await run(['dataset', 'export', 'out@1', target])).out).toContain(' 6 written now');
    expect([await files(), await fs.readFile(join(target, 'labels.csv'), 'utf8')]).toEqual([whole, list]);
  });

  test('leaves other files alone: another folder, another version, a changed file', async () => {
    await fs.mkdir(target, { recursive: true });
    await fs.writeFile(join(target, 'mine.txt'), 'mine');
    expect(await run(['dataset', 'export', 'out@1', target])).toMatchObject({ code: 1, err: expect.stringContaining('is not empty') as string }); // prettier-ignore
    expect(await files()).toEqual(['mine.txt']);
    await fs.rm(join(target, 'mine.txt'));
    await run(['dataset', 'export', 'out@1', target]);
    expect(await run(['dataset', 'export', 'base@1', target])).toMatchObject({ code: 1, err: expect.stringContaining('holds another export') as string }); // prettier-ignore
    const picture = (await files()).find((path) => path.endsWith('.png'))!;
    await fs.rm(join(target, 'labels.csv'));
    await fs.writeFile(join(target, picture), 'edited');
    expect(await run(['dataset', 'export', 'out@1', target])).toMatchObject({ code: 1, err: expect.stringContaining(picture) as string }); // prettier-ignore
    expect(await fs.readFile(join(target, picture), 'utf8')).toBe('edited');
  });
});

describe('tidegate dataset delete', () => {
  test('takes versions by number, and says what is gone', async () => {
    const path = await pictures([61, 62]);
    await version(['dataset', 'import', path, '--model', 'digits', '--name', 'short']);
    expect(await run(['dataset', 'delete', 'short'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('short@1') as string,
    });
    expect(await run(['dataset', 'delete', 'short@1'])).toMatchObject({ code: 0, out: 'short@1 is deleted\n' });
    const gone = await run(['dataset', 'show', 'short@1']);
    expect([gone.code, gone.err]).toEqual([1, expect.stringContaining('short@1 was deleted at ')]);
  });
});
