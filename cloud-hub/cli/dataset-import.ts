// `tidegate dataset import`: files become samples of the model, those that the hub lacks are sent, and the whole list is frozen. A
// sample's body holds nothing but the model's name and the input, so the same file is the same sample whenever it is imported:
// interrupted and started again, the import goes on where it was, and again it changes nothing.
import * as fs from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { inParallel } from '@tidegate/shared/system/in-parallel.js';
import {
  datasetVersionSchema,
  importMissingSchema,
  importTargetSchema,
  LIMIT_DATASET_ITEMS,
  LIMIT_IMPORT_QUESTION,
  type DatasetVersion,
} from '@tidegate/shared/wire/data-api.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import { encodeSample, LIMIT_SAMPLE_BYTES, SampleError, sampleId } from '@tidegate/shared/wire/sample.js';
import { encodeFrames, frameBytes, LIMIT_FRAMES, type SampleFrame } from '@tidegate/shared/wire/sample-frames.js';
import { CliError, wrongUsage } from './cli-error.js';
import { HubProblem, problemOf, type HubClient } from './hub-client.js';
import { readImportList, type LabelFrom, type ListedFile } from './import-list.js';
import { countProgress, type Streams } from './output.js';
import { SampleFiles } from './sample-file.js';

/** Files that are read and decoded at once. */
const READING_AT_ONCE = 12;
/** Requests with samples that are under way at once, and the bytes of each, unless one sample is larger. */
const SENDING_AT_ONCE = 3;
const REQUEST_BYTES = 4 * 1024 * 1024;
/** Bodies that stay in memory between making and sending; others are made again. */
const LIMIT_KEPT_BYTES = 256 * 1024 * 1024;
/** A large dataset is minutes of work. */
export const FREEZING_MS = 3_600_000;
const ATTEMPTS = 5;
const BACKOFF_MS = 300;

interface ImportRequest {
  readonly path: string;
  readonly name: string;
  readonly model: string;
  /** Undefined: not said. */
  readonly heldOut: number | undefined;
  readonly labelFrom: LabelFrom;
  readonly mayResize: boolean;
}

interface Imported {
  readonly version: DatasetVersion;
  /** Bodies that the hub lacked. */
  readonly sent: number;
  /** Files that are a sample which another file is already. */
  readonly repeated: number;
}

interface Body {
  readonly id: Digest;
  readonly body: Uint8Array;
}

/** Rejects with CliError that names the file, or says what the hub says; nothing is frozen then. */
export async function importDataset(client: HubClient, request: ImportRequest, streams: Streams): Promise<Imported> {
  const { path, name, model, labelFrom } = request;
  const { files, skipped } = await readImportList(path, labelFrom);
  if (skipped.length > 0) {
    const named = skipped.slice(0, 5).join(', ');
    streams.stderr.write(
      `skipped ${skipped.length} that are no samples: ${named}${skipped.length > 5 ? ' ...' : ''}\n`,
    );
  }
  if (files.length > LIMIT_DATASET_ITEMS) {
    throw wrongUsage(`${path} lists ${files.length} files; a dataset holds at most ${LIMIT_DATASET_ITEMS}`);
  }
  const statesSplit = files.some(({ split }) => split !== undefined);
  if (statesSplit && request.heldOut !== undefined) {
    throw wrongUsage('--held-out: the CSV states the split of each file already');
  }
  const base = `/api/v1/datasets/${encodeURIComponent(name)}/import`;
  const target = await client.get(`${base}?model=${encodeURIComponent(model)}`, importTargetSchema);
  const maker = new BodyMaker(model, new SampleFiles(target, request));
  const made = await makeAll(maker, files, streams);
  const samples = distinct(files, made);
  const sent = await sendMissing(client, base, { model, samples, maker }, streams);
  const items = [...samples].map(([id, { label, split }]) => ({
    id,
    label,
    ...(split === undefined ? {} : { split }),
  }));
  const heldOut = statesSplit ? heldOutShare([...samples.values()]) : request.heldOut; // undefined: as the hub does
  const version = await client.post(base, { model, heldOut, items }, datasetVersionSchema, FREEZING_MS);
  return { version, sent, repeated: files.length - samples.size };
}

function heldOutShare(samples: readonly ListedFile[]): number {
  return samples.filter(({ split }) => split === 'held-out').length / samples.length;
}

/** Makes a file's body, and keeps as many as fit. */
class BodyMaker {
  readonly #model: string;
  readonly #files: SampleFiles;
  readonly #kept = new Map<string, Body>();
  #keptBytes = 0;

  constructor(model: string, files: SampleFiles) {
    this.#model = model;
    this.#files = files;
  }

  async make(path: string): Promise<Body> {
    const known = this.#kept.get(path);
    if (known !== undefined) return known;
    const made = await this.#make(path);
    if (this.#keptBytes + made.body.byteLength <= LIMIT_KEPT_BYTES) {
      this.#kept.set(path, made);
      this.#keptBytes += made.body.byteLength;
    }
    return made;
  }

  async #make(path: string): Promise<Body> {
    const { size } = await fs.stat(path).catch((cause: unknown) => {
      throw new CliError(`${path} can't be read`, { cause });
    });
    if (size > 4 * LIMIT_SAMPLE_BYTES) throw new CliError(`${path} has ${size} bytes, more than a sample may`);
    const input = await this.#files.read(path, await fs.readFile(path));
    try {
      const facts = { model: this.#model, capturedAtMs: 0, reason: 'import' } as const;
      const body = encodeSample({ facts, inputs: [input], outputs: [] });
      return { id: sampleId(body), body };
    } catch (cause) {
      if (cause instanceof SampleError) throw new CliError(`${path}: ${cause.message}`, { cause });
      throw cause;
    }
  }
}

/** The ids, in the files' order. */
async function makeAll(maker: BodyMaker, files: readonly ListedFile[], streams: Streams): Promise<Digest[]> {
  const progress = countProgress(streams, 'reading', files.length);
  try {
    return await inParallel(files, READING_AT_ONCE, async ({ path }) => {
      const { id } = await maker.make(path);
      progress.advance(1);
      return id;
    });
  } finally {
    progress.stop();
  }
}

type Samples = ReadonlyMap<Digest, ListedFile>;

/** One file for each sample. Throws CliError for the same sample under two labels or on two sides. */
function distinct(files: readonly ListedFile[], ids: readonly Digest[]): Samples {
  const samples = new Map<Digest, ListedFile>();
  for (const [at, file] of files.entries()) {
    const id = ids[at] ?? '';
    const other = samples.get(id) ?? file;
    for (const what of ['label', 'split'] as const) {
      if (other[what] === file[what]) continue;
      throw new CliError(`${other.path} and ${file.path} are the same sample, but its ${what} is ${other[what]} and ${file[what]}`); // prettier-ignore
    }
    samples.set(id, other);
  }
  return samples;
}

interface Sending {
  readonly model: string;
  readonly samples: Samples;
  readonly maker: BodyMaker;
}

/** Returns how many were missing. */
async function sendMissing(
  client: HubClient,
  base: string,
  { model, samples, maker }: Sending,
  streams: Streams,
): Promise<number> {
  const ids = [...samples.keys()];
  const missing: Digest[] = [];
  for (let at = 0; at < ids.length; at += LIMIT_IMPORT_QUESTION) {
    const some = ids.slice(at, at + LIMIT_IMPORT_QUESTION);
    const labels = [...new Set(some.map((id) => samples.get(id)?.label ?? ''))];
    const answer = await client.post(`${base}/missing`, { model, labels, ids: some }, importMissingSchema);
    missing.push(...answer.missing);
  }
  const progress = countProgress(streams, 'sending', missing.length);
  const bodyOf = async (id: Digest): Promise<SampleFrame> => {
    const file = samples.get(id);
    if (file === undefined) throw new CliError(`the hub asks for ${id}, which is not in the list`);
    const made = await maker.make(file.path);
    if (made.id !== id) throw new CliError(`${file.path} has changed while it was imported; import it again`);
    return { label: file.label, body: made.body };
  };
  try {
    const waiting = missing.values();
    await inParallel(Array.from({ length: SENDING_AT_ONCE }), SENDING_AT_ONCE, async () => {
      for await (const frames of packed(waiting, bodyOf)) {
        await send(client, `${base}/samples`, encodeFrames(frames));
        progress.advance(frames.length);
      }
    });
  } finally {
    progress.stop();
  }
  return missing.length;
}

/** As many as one request may hold. Several may draw on the same ids. */
async function* packed(
  ids: Iterator<Digest>,
  bodyOf: (id: Digest) => Promise<SampleFrame>,
): AsyncGenerator<readonly SampleFrame[], void, void> {
  let frames: SampleFrame[] = [];
  let bytes = 0;
  for (let next = ids.next(); next.done !== true; next = ids.next()) {
    const frame = await bodyOf(next.value);
    if (frames.length === LIMIT_FRAMES || (frames.length > 0 && bytes + frameBytes(frame) > REQUEST_BYTES)) {
      yield frames;
      [frames, bytes] = [[], 0];
    }
    frames.push(frame);
    bytes += frameBytes(frame);
  }
  if (frames.length > 0) yield frames;
}

/** Tries again where that may help: a hub that is away or busy. */
async function send(client: HubClient, path: string, body: Uint8Array): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const headers = { 'content-type': 'application/octet-stream' };
    try {
      const answer = await client.raw('POST', path, { headers, body });
      if (answer.status === 200) return;
      throw problemOf(answer);
    } catch (cause) {
      const lasting = cause instanceof HubProblem && (cause.status < 500 || cause.status === 507);
      if (lasting || attempt === ATTEMPTS || !(cause instanceof CliError)) throw cause;
      await sleep(BACKOFF_MS * 2 ** attempt);
    }
  }
}
