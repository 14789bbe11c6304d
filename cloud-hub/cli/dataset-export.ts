// `tidegate dataset export`: a version as a folder. Nothing that arrives is trusted: the manifest is held against the version's digest,
// each shard against the manifest's.
//   manifest.json                 the version's own bytes; written first, so that it says whose folder this is
//   SPLIT/LABEL/HEX.png           a file (or several) for each sample
//   labels.csv                    path,label,split,id; written last
//   labels.csv.partial            what is done, while it isn't whole
// Interrupted and started again, it fetches only the shards of which something is missing. It writes into an empty folder, or into one
// that holds this very version; a file there that is something else is left alone and named.
import * as fs from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { datasetManifestSchema, type DatasetItem, type DatasetVersion } from '@tidegate/shared/wire/data-api.js';
import { hexOf, sha256, type Digest } from '@tidegate/shared/wire/digest.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { decodeSample } from '@tidegate/shared/wire/sample.js';
import { CliError } from './cli-error.js';
import { csvLine, parseCsv } from './csv.js';
import { problemOf, type HubClient } from './hub-client.js';
import { LABELS_FILE } from './import-list.js';
import { countProgress, type Streams } from './output.js';
import { exportedFiles, safeName } from './sample-export.js';

const MANIFEST_FILE = 'manifest.json';
const PARTIAL_FILE = `${LABELS_FILE}.partial`;
const HEADER = ['path', 'label', 'split', 'id'];

interface Exported {
  readonly folder: string;
  readonly samples: number;
  /** Samples whose files were written now. */
  readonly written: number;
}

/** Rejects with CliError for a folder that holds something else, and for what arrives damaged. */
export async function exportDataset(
  client: HubClient,
  version: DatasetVersion,
  folder: string,
  streams: Streams,
): Promise<Exported> {
  const base = `/api/v1/datasets/${encodeURIComponent(version.name)}/versions/${version.version}`;
  const manifestBytes = await fetchVerified(client, `${base}/manifest`, version.digest);
  const { items, shards } = datasetManifestSchema.parse(JSON.parse(new TextDecoder().decode(manifestBytes)));
  await claim(folder, manifestBytes);
  const done = await doneRows(folder);
  const progress = countProgress(streams, 'writing', items.length);
  progress.advance(items.filter(({ id }) => done.has(id)).length);
  let written = 0;
  try {
    for (const [at, shard] of shards.entries()) {
      const open = items.filter((item) => item.shard === at && !done.has(item.id));
      if (open.length === 0) continue;
      const bytes = await fetchVerified(client, `${base}/shards/${at}`, shard.digest);
      for (const item of open) {
        done.set(item.id, await writeSample(folder, item, bytes));
        written += 1;
        progress.advance(1);
      }
      const rows = open.map(({ id }) => `${csvLine(done.get(id) ?? [])}\n`);
      await fs.appendFile(join(folder, PARTIAL_FILE), rows.join(''));
    }
  } finally {
    progress.stop();
  }
  await finish(folder, items, done);
  return { folder, samples: items.length, written };
}

async function fetchVerified(client: HubClient, path: string, digest: Digest): Promise<Uint8Array> {
  const answer = await client.raw('GET', path);
  if (answer.status !== 200) throw problemOf(answer);
  if (sha256(answer.body) !== digest) throw new CliError(`${path} arrived damaged: it is not ${digest}`);
  return answer.body;
}

/** Makes the folder this version's. */
async function claim(folder: string, manifest: Uint8Array): Promise<void> {
  await fs.mkdir(folder, { recursive: true });
  const path = join(folder, MANIFEST_FILE);
  const held = await fs.readFile(path).catch(() => undefined); // not there: the folder must be empty
  if (held !== undefined) {
    if (sha256(held) === sha256(manifest)) return;
    throw new CliError(`${folder} holds another export; choose another folder`);
  }
  if ((await fs.readdir(folder)).length > 0) throw new CliError(`${folder} is not empty; choose another folder`);
  await systemFiles.writeAtomic('export.manifest', path, manifest);
}

type Row = readonly string[];

/** Rows of samples whose files are there, by id: of the finished list, or of an interrupted one, whose last line may be torn. */
async function doneRows(folder: string): Promise<Map<Digest, Row>> {
  const done = new Map<Digest, Row>();
  for (const name of [LABELS_FILE, PARTIAL_FILE]) {
    const text = await fs.readFile(join(folder, name), 'utf8').catch(() => ''); // not there: nothing of it is done
    for (const { cells } of wholeRows(text)) {
      const [path = '', , , id = ''] = cells;
      if (id.startsWith('sha256:') && (await isFile(join(folder, path)))) done.set(id, cells);
    }
  }
  return done;
}

/** A line that is torn within quotes makes the whole unreadable: then nothing counts as done. */
function wholeRows(text: string): ReturnType<typeof parseCsv> {
  try {
    return parseCsv(text.slice(0, text.lastIndexOf('\n') + 1));
  } catch (cause) {
    if (cause instanceof RangeError) return [];
    throw cause;
  }
}

async function isFile(path: string): Promise<boolean> {
  return fs.stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

/** Returns the sample's row. Of several inputs the first one's file, which the row names, is written last. */
async function writeSample(folder: string, item: DatasetItem, shard: Uint8Array): Promise<Row> {
  const { id, label, split, offsetBytes, sizeBytes } = item;
  const { inputs } = decodeSample(shard.subarray(offsetBytes, offsetBytes + sizeBytes));
  const files = exportedFiles(inputs);
  const stem = `${split}/${safeName(label)}/${hexOf(id).slice(0, 32)}`;
  for (const { suffix, bytes } of files.toReversed()) await writeNew(join(folder, `${stem}${suffix}`), bytes);
  return [`${stem}${files[0]?.suffix ?? ''}`, label, split, id];
}

async function writeNew(path: string, bytes: Uint8Array): Promise<void> {
  const held = await fs.readFile(path).catch(() => undefined); // not there, as it should be
  if (held === undefined) {
    await fs.mkdir(dirname(path), { recursive: true });
    await systemFiles.writeAtomic('export.sample', path, bytes);
  } else if (Buffer.compare(held, bytes) !== 0) {
    throw new CliError(`${path} is there and is something else; move it away`);
  }
}

async function finish(folder: string, items: readonly DatasetItem[], done: ReadonlyMap<Digest, Row>): Promise<void> {
  const lines = [HEADER, ...items.map(({ id }) => done.get(id) ?? [])].map((cells) => `${csvLine(cells)}\n`);
  await systemFiles.writeAtomic('export.labels', join(folder, LABELS_FILE), lines.join(''));
  await fs.rm(join(folder, PARTIAL_FILE), { force: true });
}
