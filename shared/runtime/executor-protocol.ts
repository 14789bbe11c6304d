// What the runtime and an executor say to each other, as the headers of frames (frames.ts). Both ends are one release, so
// there is no versioning; but a damaged executor may write anything, so what arrives is parsed before it is used. A tensor's
// bytes follow the header, or lie in memory that both ends see and the header says where (tensor-arena.ts).
import type { EngineCapabilities, Provider, ProviderReport } from './engine.js';
import type { CompiledCache, CompiledReport, SequenceRun } from './graph-runner.js';
import { blobsOf, encodeFrame, FrameError, type Frame } from './frames.js';
import type { Region } from './regions.js';
import type { RuntimeErrorCode } from './runtime-error.js';
import { isDatatype } from '../tensor/datatype.js';
import type { NamedTensor, TensorSpec } from '../tensor/tensor.js';

/** A tensor in a header: its bytes follow as a blob, or lie at `at` in shared memory. */
interface TensorHeader extends TensorSpec {
  readonly sizeBytes: number;
  readonly at?: number;
}

/** The bytes at a place in shared memory, for the run `id`. Throws FrameError where they are not that run's. */
type SharedBytes = (id: number, at: number, sizeBytes: number) => Uint8Array;

export interface LoadedMessage {
  readonly type: 'loaded';
  readonly graph: number;
  readonly engine: { readonly name: string; readonly version: string; readonly capabilities: EngineCapabilities };
  /** Why it is not the preferred engine. */
  readonly fallbackReason?: string;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly provider: ProviderReport;
  /** Whether the executor has mapped the memory that it was offered. */
  readonly sharedMemory: boolean;
  /** Making the session, in milliseconds. */
  readonly sessionMs: number;
  /** What the process has grown by while it loaded. */
  readonly grownBytes: number;
  readonly compiled?: CompiledReport;
}

/** `graph` names one of those that the executor holds: a number that its parent gave it and gives no other. */
export type ToExecutor =
  | {
      readonly type: 'load';
      readonly graph: number;
      readonly path: string;
      readonly providers: readonly Provider[];
      /** The first graph's are those of the whole executor: its thread pool and its slots. */
      readonly intraOpThreads: number;
      readonly slots: number;
      /** What the carried inputs are at first; empty = nothing is carried. */
      readonly tensors: readonly NamedTensor[];
      /** Pairs of an output and the input that it replaces. */
      readonly carried: readonly (readonly [string, string])[];
      readonly compiledCache?: CompiledCache;
      /** Size of the shared memory behind the descriptor 4; absent where there is none. */
      readonly sharedBytes?: number;
    }
  | {
      readonly type: 'run';
      readonly id: number;
      readonly graph: number;
      readonly tensors: readonly NamedTensor[];
      readonly outputs: readonly string[];
      readonly sequence?: SequenceRun;
      /** Where in shared memory the answer may be put. */
      readonly answer?: Region;
    }
  | { readonly type: 'forget'; readonly graph: number; readonly key: number }
  /** No run of it is in flight; it may still be loading. */
  | { readonly type: 'unload'; readonly graph: number }
  | { readonly type: 'cancel'; readonly id: number }
  | { readonly type: 'ping'; readonly id: number }
  | { readonly type: 'close' };

export type FromExecutor =
  | LoadedMessage
  | { readonly type: 'failed'; readonly id: number; readonly code: RuntimeErrorCode; readonly message: string }
  /** There is nothing compiled to load: that comes first, and may take minutes. */
  | { readonly type: 'compiling'; readonly graph: number }
  | { readonly type: 'load-failed'; readonly graph: number; readonly code: RuntimeErrorCode; readonly message: string }
  | {
      readonly type: 'result';
      readonly id: number;
      readonly computeUs: number;
      readonly tensors: readonly NamedTensor[];
    }
  | { readonly type: 'pong'; readonly id: number };

/** What each message must name by a number. */
const NUMBERED: Readonly<Record<string, readonly string[]>> = {
  load: ['graph'],
  loaded: ['graph'],
  compiling: ['graph'],
  'load-failed': ['graph'],
  run: ['id', 'graph'],
  forget: ['graph', 'key'],
  unload: ['graph'],
  cancel: ['id'],
  ping: ['id'],
  result: ['id'],
  failed: ['id'],
  pong: ['id'],
};

/**
 * A message as chunks for one gathered write. `places`: where in shared memory a tensor lies, by index; the others go along.
 * Throws FrameError beyond the limits of a frame.
 */
export function encodeMessage(
  message: ToExecutor | FromExecutor,
  places: readonly (number | undefined)[] = [],
): Uint8Array[] {
  if (!('tensors' in message)) return encodeFrame(message);
  const blobs: Uint8Array[] = [];
  const tensors = message.tensors.map(({ name, datatype, shape, data }, i): TensorHeader => {
    const at = places[i];
    const header = { name, datatype, shape, sizeBytes: data.byteLength };
    if (at !== undefined) return { at, ...header };
    blobs.push(data);
    return header;
  });
  return encodeFrame({ ...message, tensors }, blobs);
}

/** Reads a frame from the runtime. Throws FrameError. */
export function decodeToExecutor(frame: Frame, shared?: SharedBytes): ToExecutor {
  return decode(frame, ['load', 'run', 'forget', 'unload', 'cancel', 'ping', 'close'], shared) as unknown as ToExecutor;
}

/** Reads a frame from an executor. Throws FrameError. */
export function decodeFromExecutor(frame: Frame, shared?: SharedBytes): FromExecutor {
  return decode(
    frame,
    ['loaded', 'compiling', 'load-failed', 'failed', 'result', 'pong'],
    shared,
  ) as unknown as FromExecutor;
}

function decode(frame: Frame, types: readonly string[], shared: SharedBytes | undefined): Record<string, unknown> {
  const header = frame.header;
  if (!isRecord(header) || typeof header['type'] !== 'string' || !types.includes(header['type'])) {
    throw new FrameError('an unknown message');
  }
  const type = header['type'];
  for (const field of NUMBERED[type] ?? []) integer(header, field);
  if (type === 'run' || type === 'result' || type === 'load')
    return { ...header, tensors: tensorsOf(frame, header, shared) };
  if (frame.body.byteLength > frame.blobsAt) throw new FrameError(`a "${type}" message with blobs`);
  return header;
}

function tensorsOf(frame: Frame, header: Record<string, unknown>, shared: SharedBytes | undefined): NamedTensor[] {
  const value = header['tensors'];
  if (!Array.isArray(value)) throw new FrameError('"tensors" is no array');
  const headers = value.map(tensorHeader);
  const sent = headers.filter(({ at }) => at === undefined);
  const blobs = blobsOf(
    frame,
    sent.map(({ sizeBytes }) => sizeBytes),
  );
  let next = 0;
  return headers.map(({ name, datatype, shape, sizeBytes, at }) => {
    if (at === undefined) return { name, datatype, shape, data: blobs[next++] as Uint8Array };
    if (shared === undefined) throw new FrameError(`"${name}" lies in shared memory, which there is none of`);
    return { name, datatype, shape, data: shared(integer(header, 'id'), at, sizeBytes) };
  });
}

function tensorHeader(item: unknown): TensorHeader {
  if (!isRecord(item) || typeof item['name'] !== 'string' || !isDatatype(item['datatype'])) {
    throw new FrameError('a tensor without a name or a known datatype');
  }
  const { name, datatype, shape } = item;
  if (!Array.isArray(shape) || !shape.every((d) => Number.isSafeInteger(d))) throw new FrameError(`shape of "${name}"`);
  const header = { name, datatype, shape: shape as number[], sizeBytes: integer(item, 'sizeBytes') };
  return item['at'] === undefined ? header : { at: integer(item, 'at'), ...header };
}

function integer(record: Record<string, unknown>, field: string): number {
  const value = record[field];
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw new FrameError(`"${field}" is no integer`);
  return value;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
