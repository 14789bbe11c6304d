// Graphs as the engine has made them for this very machine: fused, weights in the layout of its kernels, in a file that is mapped
// rather than read. Loading one again takes milliseconds, and all processes that hold it share one copy of its weights in memory.
//
//   <folder>/<key>/model.onnx  weights.bin  manifest.json (content, sizes, SHA-256)  verified (the boot in which the hashes were seen to hold)
//
// Invariants: an entry appears whole, by a rename. What a power cut tore or a card lost does not hold its hashes, which are
// looked at once in each boot; such an entry is removed and made again. An entry is made here from files that were verified, and is
// as trusted as the folder that it lies in. Whatever goes wrong, the graph itself is loaded, and the report says why.
import * as fs from 'node:fs/promises';
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { alignWeights } from './align-weights.js';
import { rungsOf } from './ladder.js';
import {
  COMPILED_GRAPH,
  COMPILED_MANIFEST as MANIFEST,
  type Engine,
  type EngineSession,
  type LoadOptions,
} from '../engine.js';
import type { CompiledCache, CompiledReport } from '../graph-runner.js';
import { RuntimeError } from '../runtime-error.js';

/** Raised when what an entry holds, or how it is used, changes. */
const FORMAT = 2;
/** Below it little is gained (docs/performance.md). */
const GRAPH_MIN_BYTES = 4 << 20;
/** An entry may hold the weights twice, as they were and as kernels want them. */
const ENTRY_PER_GRAPH = 2;
/** What is left of the volume to others, and how much of it the cache may be whatever its limit. */
const KEPT_FREE_BYTES = 256 << 20;
const VOLUME_SHARE = 0.1;
/** A volume with less is full. */
const FULL_BYTES = 1 << 20;
const VERIFIED = 'verified';
const UNFINISHED = '.building-';
const UNFINISHED_MAX_AGE_MS = 3_600_000;
const READ_BYTES = 1 << 20;

interface LoadedSession {
  readonly session: EngineSession;
  readonly compiled: CompiledReport;
}

/** Loads the graph, from the cache where it can. Rejects as Engine.load, and with `not-compiled` where that was asked for. `onCompiling` hears before it compiles. */
export async function loadThroughCache(
  engine: Engine,
  options: LoadOptions,
  cache: CompiledCache,
  signal: AbortSignal,
  onCompiling: () => void = () => undefined,
): Promise<LoadedSession> {
  let reason: string | undefined;
  try {
    const graphBytes = await sizeWithNeighbours(options.path);
    reason = reasonAgainst(options, cache, graphBytes);
    const entry = join(cache.folder, await keyOf(engine, cache));
    if (cache.discard === true) await fs.rm(entry, { recursive: true, force: true });
    if (reason === undefined) {
      const found = await loadEntry(engine, options, entry, signal);
      if (found !== undefined) return { session: found, compiled: { kind: 'used' } };
      if (cache.compileApart === true) throw new RuntimeError('not-compiled', 'it is to be compiled apart first');
      if (cache.useOnly === true) throw new Error('it was not kept, and a replacement does not compile');
      onCompiling();
      await build(engine, options, cache, entry, graphBytes, signal);
      const built = await loadEntry(engine, options, entry, signal);
      if (built !== undefined) return { session: built, compiled: { kind: 'built' } };
      reason = 'the engine refuses what it wrote';
    }
  } catch (error) {
    if (error instanceof RuntimeError && error.code === 'not-compiled') throw error;
    reason = error instanceof Error ? error.message : String(error);
  }
  // Also where the graph itself is at fault: its own error counts.
  return { session: await engine.load(options, signal), compiled: { kind: 'none', reason } };
}

function reasonAgainst({ providers }: LoadOptions, cache: CompiledCache, graphBytes: number): string | undefined {
  if (cache.discard === true) return 'an executor died over the compiled graph';
  if (rungsOf(providers).length > 1) return 'only graphs for the cpu provider are kept';
  if (graphBytes < GRAPH_MIN_BYTES) return 'the graph is too small to gain';
  if (graphBytes > cache.limitBytes) return `the graph is larger than the cache may be (${cache.limitBytes} bytes)`;
  return undefined;
}

/** The session, or undefined where there is no entry, or none that is whole; what isn't is removed. */
async function loadEntry(
  engine: Engine,
  options: LoadOptions,
  entry: string,
  signal: AbortSignal,
): Promise<EngineSession | undefined> {
  if (!(await exists(join(entry, MANIFEST)))) return undefined;
  try {
    await verify(entry);
    await note(join(entry, MANIFEST), (path) => fs.utimes(path, new Date(), new Date())); // when it was used last
    return await engine.load({ ...options, path: join(entry, COMPILED_GRAPH), compiled: true }, signal);
  } catch (error) {
    console.error(`executor: a compiled graph is of no use: ${error instanceof Error ? error.message : String(error)}`);
    await fs.rm(entry, { recursive: true, force: true });
    return undefined;
  }
}

async function build(
  engine: Engine,
  options: LoadOptions,
  cache: CompiledCache,
  entry: string,
  graphBytes: number,
  signal: AbortSignal,
): Promise<void> {
  await fs.mkdir(cache.folder, { recursive: true, mode: 0o700 });
  const { bavail, blocks, bsize } = await fs.statfs(cache.folder);
  if (bavail * bsize < ENTRY_PER_GRAPH * graphBytes + KEPT_FREE_BYTES) throw new Error('no room on the volume');
  const unfinished = join(cache.folder, `${UNFINISHED}${randomUUID()}`);
  try {
    await fs.mkdir(unfinished, { mode: 0o700 });
    await (await engine.load({ ...options, saveTo: unfinished }, signal)).close();
    await alignWeights(unfinished);
    await seal(unfinished, cache.content);
    const limitBytes = Math.min(cache.limitBytes, Math.floor(VOLUME_SHARE * blocks * bsize));
    await makeRoom({ ...cache, limitBytes }, await sizeOf(unfinished));
    await fs.rename(unfinished, entry).catch(async (error: unknown) => {
      if (!(await exists(join(entry, MANIFEST)))) throw error; // another executor was faster: its entry does
    });
  } catch (cause) {
    const left = await fs.statfs(cache.folder);
    if (left.bavail * left.bsize > FULL_BYTES) throw cause;
    throw new Error('the volume became full while it was compiled', { cause }); // the engine says only that it could not write
  } finally {
    await fs.rm(unfinished, { recursive: true, force: true });
  }
}

/** Removes what was not used for longest, until there is room for `sizeBytes` more. */
async function makeRoom(cache: CompiledCache, sizeBytes: number): Promise<void> {
  if (sizeBytes > cache.limitBytes) throw new Error(`${sizeBytes} bytes are more than the cache may be`);
  const entries: { path: string; usedMs: number; sizeBytes: number }[] = [];
  for (const name of await fs.readdir(cache.folder)) {
    const path = join(cache.folder, name);
    if (name.startsWith(UNFINISHED)) {
      if (Date.now() - (await fs.stat(path)).mtimeMs > UNFINISHED_MAX_AGE_MS) await fs.rm(path, { recursive: true });
      continue;
    }
    const used = await fs.stat(join(path, MANIFEST)).catch(() => undefined);
    entries.push({ path, usedMs: used?.mtimeMs ?? 0, sizeBytes: await sizeOf(path) });
  }
  entries.sort((a, b) => b.usedMs - a.usedMs);
  let total = sizeBytes;
  for (const { path, sizeBytes: size } of entries) {
    total += size;
    if (total > cache.limitBytes) await fs.rm(path, { recursive: true, force: true }); // who has it mapped keeps it
  }
}

/** Writes down what the files are, and what they were made from. */
async function seal(folder: string, content: string): Promise<void> {
  const files: Record<string, { sizeBytes: number; sha256: string }> = {};
  for (const name of (await fs.readdir(folder)).sort()) files[name] = await describe(join(folder, name));
  await fs.writeFile(join(folder, MANIFEST), JSON.stringify({ content, files }), { mode: 0o600 });
  await fs.writeFile(join(folder, VERIFIED), (await bootId()) ?? '', { mode: 0o600 });
}

/** Throws where a file isn't what the manifest says; hashes are computed once in each boot. */
async function verify(entry: string): Promise<void> {
  const manifest: unknown = JSON.parse(await fs.readFile(join(entry, MANIFEST), 'utf8'));
  const files = (manifest as { files?: unknown } | null)?.files;
  if (typeof files !== 'object' || files === null || !(COMPILED_GRAPH in files))
    throw new Error('the manifest is torn');
  const boot = await bootId();
  const seen = await fs.readFile(join(entry, VERIFIED), 'utf8').catch(() => '');
  const known = boot !== undefined && seen === boot;
  for (const [name, expected] of Object.entries(files as Record<string, { sizeBytes?: unknown; sha256?: unknown }>)) {
    const path = join(entry, name);
    if ((await fs.stat(path)).size !== expected.sizeBytes) throw new Error(`${name} has another size`);
    if (!known && (await describe(path)).sha256 !== expected.sha256) throw new Error(`${name} is damaged`);
  }
  if (!known && boot !== undefined)
    await note(join(entry, VERIFIED), (path) => fs.writeFile(path, boot, { mode: 0o600 }));
}

/** What is written down about an entry, where it can be: on a full or read-only volume the entry itself is as good as before. */
async function note(path: string, write: (path: string) => Promise<void>): Promise<void> {
  await write(path).catch((error: unknown) =>
    console.error(`executor: ${path} could not be written: ${String(error)}`),
  );
}

async function describe(path: string): Promise<{ sizeBytes: number; sha256: string }> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: READ_BYTES }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    sizeBytes += chunk.byteLength;
  }
  return { sizeBytes, sha256: hash.digest('hex') };
}

/** One name for one content, engine and kind of processor: layouts of weights follow its instructions. */
async function keyOf(engine: Engine, { content }: CompiledCache): Promise<string> {
  const processor = { arch: process.arch, model: cpus()[0]?.model, flags: await processorFlags() };
  const identity = JSON.stringify({ FORMAT, content, engine: [engine.name, engine.version], processor });
  return createHash('sha256').update(identity).digest('hex').slice(0, 32);
}

async function processorFlags(): Promise<string | undefined> {
  const text = await fs.readFile('/proc/cpuinfo', 'utf8').catch(() => '');
  return /^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1];
}

/** Undefined where the platform has none: hashes are computed at each load then. */
async function bootId(): Promise<string | undefined> {
  return fs.readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => undefined);
}

/** The graph's file and what lies beside it that is no graph: its external weights are among them. */
async function sizeWithNeighbours(path: string): Promise<number> {
  const folder = dirname(path);
  let sizeBytes = (await fs.stat(path)).size;
  for (const neighbour of await fs.readdir(folder, { withFileTypes: true })) {
    if (!neighbour.isFile() || neighbour.name.endsWith('.onnx')) continue;
    sizeBytes += (await fs.stat(join(folder, neighbour.name))).size;
  }
  return sizeBytes;
}

async function sizeOf(folder: string): Promise<number> {
  let sizeBytes = 0;
  for (const name of await fs.readdir(folder)) sizeBytes += (await fs.stat(join(folder, name))).size;
  return sizeBytes;
}

async function exists(path: string): Promise<boolean> {
  return fs.access(path).then(
    () => true,
    () => false,
  );
}
