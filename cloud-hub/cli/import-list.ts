// What `tidegate dataset import` is to import: files and their labels, from a folder per class or from a CSV (path,label[,split]) whose
// paths are relative to it. Nothing of the files is read here.
import * as fs from 'node:fs/promises';
import { basename, dirname, extname, isAbsolute, join, relative, sep } from 'node:path';
import { SPLITS, type Split } from '@tidegate/shared/wire/data-api.js';
import { CliError, wrongUsage } from './cli-error.js';
import { parseCsv } from './csv.js';

export const LABELS_FILE = 'labels.csv';
/** Files of a folder that are samples; a CSV may name others. */
const SAMPLE_FILES: ReadonlySet<string> = new Set(['.png', '.jpg', '.jpeg', '.webp', '.npy']);
const LIMIT_DEPTH = 16;
const LIMIT_CSV_BYTES = 256 * 1024 * 1024;

export interface ListedFile {
  readonly path: string;
  readonly label: string;
  readonly split?: Split;
}

interface ImportList {
  readonly files: readonly ListedFile[];
  /** What lies in the folder and is no sample. */
  readonly skipped: readonly string[];
}

/** Where the labels come from; by itself a folder with a labels.csv means the CSV. */
export type LabelFrom = 'folder' | 'csv' | undefined;

/** Throws CliError (wrong usage) for what isn't there, holds no sample, or is no such CSV. */
export async function readImportList(path: string, labelFrom: LabelFrom): Promise<ImportList> {
  const stat = await fs.stat(path).catch(() => undefined);
  if (stat === undefined) throw wrongUsage(`${path} does not exist`);
  if (stat.isFile()) {
    if (labelFrom === 'folder') throw wrongUsage(`${path} is a file; --label-from folder needs a folder`);
    return { files: await readCsv(path), skipped: [] };
  }
  const csv = join(path, LABELS_FILE);
  const hasCsv = await fs.stat(csv).then(
    (found) => found.isFile(),
    () => false,
  );
  if (labelFrom === 'csv' && !hasCsv) throw wrongUsage(`${path} has no ${LABELS_FILE}`);
  return hasCsv && labelFrom !== 'folder' ? { files: await readCsv(csv), skipped: [] } : readFolders(path);
}

async function readFolders(folder: string): Promise<ImportList> {
  const files: ListedFile[] = [];
  const skipped: string[] = [];
  for await (const path of walk(folder, 0)) {
    const parts = relative(folder, path).split(sep);
    const [label = ''] = parts;
    if (parts.length > 1 && SAMPLE_FILES.has(extname(path).toLowerCase())) files.push({ path, label });
    else if (!basename(path).startsWith('.')) skipped.push(parts.join('/'));
  }
  if (files.length > 0) return { files, skipped };
  const wanted = [...SAMPLE_FILES].map((extension) => extension.slice(1)).join(', ');
  throw wrongUsage(`${folder} has no folder of files (${wanted}) per class, and no ${LABELS_FILE}`);
}

/** Files, in the names' order; links are followed. */
async function* walk(folder: string, depth: number): AsyncGenerator<string, void, void> {
  if (depth > LIMIT_DEPTH) throw wrongUsage(`${folder}: folders are more than ${LIMIT_DEPTH} deep`);
  for (const name of (await fs.readdir(folder)).sort()) {
    const path = join(folder, name);
    const stat = await fs.stat(path).catch(() => undefined); // a link that leads nowhere is no file
    if (stat?.isDirectory() === true && !name.startsWith('.')) yield* walk(path, depth + 1);
    else if (stat?.isFile() === true) yield path;
  }
}

interface Columns {
  readonly path: number;
  readonly label: number;
  /** -1: there is none. */
  readonly split: number;
}

async function readCsv(csv: string): Promise<ListedFile[]> {
  const { size } = await fs.stat(csv);
  if (size > LIMIT_CSV_BYTES) throw wrongUsage(`${csv} has ${size} bytes; at most ${LIMIT_CSV_BYTES} are read`);
  let rows: ReturnType<typeof parseCsv>;
  try {
    rows = parseCsv(await fs.readFile(csv, 'utf8'));
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new CliError(`${csv}, ${cause.message}`, { cause, exitCode: 2 });
  }
  const columns = columnsOf(rows[0]?.cells ?? []);
  const listed = (columns === undefined ? rows : rows.slice(1)).map(({ line, cells }) =>
    listedFile(csv, line, cells, columns ?? { path: 0, label: 1, split: 2 }),
  );
  if (listed.length === 0) throw wrongUsage(`${csv} lists no file`);
  const split = listed.filter((file) => file.split !== undefined).length;
  if (split === 0 || split === listed.length) return listed;
  throw wrongUsage(`${csv}: ${listed.length - split} of ${listed.length} rows state no split; all or none must`);
}

/** Undefined where the first row is no header. */
function columnsOf(cells: readonly string[]): Columns | undefined {
  const names = cells.map((cell) => cell.trim().toLowerCase());
  const [path, label] = [names.indexOf('path'), names.indexOf('label')];
  return path < 0 || label < 0 ? undefined : { path, label, split: names.indexOf('split') };
}

function listedFile(csv: string, line: number, cells: readonly string[], columns: Columns): ListedFile {
  const [path = '', label = '', split = ''] = [columns.path, columns.label, columns.split].map((at) => cells[at] ?? '');
  const wrong = (message: string): CliError => wrongUsage(`${csv}, line ${line}: ${message}`);
  if (path === '' || label === '') throw wrong('a row is path,label[,split]');
  const full = join(dirname(csv), path);
  // A list from elsewhere must not send files from elsewhere.
  if (isAbsolute(path) || relative(dirname(csv), full).split(sep)[0] === '..')
    throw wrong(`${path} is outside the folder`);
  const side = SPLITS.find((one) => one === split);
  if (side === undefined && split !== '') throw wrong(`${JSON.stringify(split)} is neither ${SPLITS.join(' nor ')}`);
  return { path: full, label, ...(side === undefined ? {} : { split: side }) };
}
