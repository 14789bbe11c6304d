// An ONNX file without its weights: what is asked of a graph before it is loaded is in a few kilobytes of a file of hundreds of
// megabytes. The raw data of large initializers are stepped over, never read; everything else is as decodeModel gives it. A file
// that is small or not as expected is read whole, so that its faults are found, and named, in one place.
import * as fs from 'node:fs/promises';
import { decodeModel } from './model-codec.js';
import type { ModelProto } from './model-proto.js';

/** Below it there is nothing to gain. */
const WHOLE_BELOW_BYTES = 1 << 20;
/** Raw data from here on are stepped over. */
const CUT_FROM_BYTES = 4 << 10;
const WINDOW_BYTES = 64 << 10;
/** Bytes of a tag and a length at most. */
const HEAD_BYTES = 20;

/** Of the messages on the way to the weights: the field that is looked into, and as what. */
const INSIDE = {
  model: { field: 7, as: 'graph' }, // ModelProto.graph
  graph: { field: 5, as: 'tensor' }, // GraphProto.initializer
  tensor: undefined,
} as const;
const RAW_DATA = 9; // TensorProto.raw_data

type Message = keyof typeof INSIDE;

/** The model, large initializers without their raw data. Throws OnnxError as decodeModel; rejects where the file can't be read. */
export async function readModelStructure(path: string): Promise<ModelProto> {
  const file = await fs.open(path, 'r');
  try {
    const { size } = await file.stat();
    if (size >= WHOLE_BELOW_BYTES) {
      const outline = await outlineOf(new Window(file), 0, size, 'model');
      if (outline !== undefined) return decodeModel(Buffer.concat(outline));
    }
    return decodeModel(await file.readFile());
  } finally {
    await file.close();
  }
}

/** The message from `start` to `end` without large raw data, as chunks; undefined where it isn't made as a message is. */
async function outlineOf(
  window: Window,
  start: number,
  end: number,
  message: Message,
): Promise<Uint8Array[] | undefined> {
  const chunks: Uint8Array[] = [];
  const inside = INSIDE[message];
  let copied = start; // everything before it is in `chunks`, or cut
  let at = start;
  while (at < end) {
    await window.show(at, HEAD_BYTES);
    const tag = window.varint(at);
    if (tag === undefined) return undefined;
    const [field, wireType] = [Math.floor(tag.value / 8), tag.value % 8];
    const value = wireType === 2 ? window.varint(tag.end) : undefined;
    const valueEnd = endOf(window, tag.end, wireType, value);
    if (valueEnd === undefined || valueEnd > end) return undefined;
    const large = value !== undefined && value.value >= CUT_FROM_BYTES;
    if (large && inside?.field === field) {
      const inner = await outlineOf(window, value.end, valueEnd, inside.as);
      if (inner === undefined) return undefined;
      const sizeBytes = inner.reduce((sum, { byteLength }) => sum + byteLength, 0);
      chunks.push(await window.copy(copied, tag.end), varintOf(sizeBytes), ...inner);
      copied = valueEnd;
    } else if (large && message === 'tensor' && field === RAW_DATA) {
      chunks.push(await window.copy(copied, at));
      copied = valueEnd;
    }
    at = valueEnd;
  }
  chunks.push(await window.copy(copied, end));
  return chunks;
}

interface Varint {
  readonly value: number;
  readonly end: number;
}

/** Where the field's value ends; undefined for a wire type that files do not have. */
function endOf(window: Window, at: number, wireType: number, length: Varint | undefined): number | undefined {
  if (wireType === 0) return window.varint(at)?.end;
  if (wireType === 1) return at + 8;
  if (wireType === 5) return at + 4;
  return length === undefined ? undefined : length.end + length.value;
}

function varintOf(value: number): Uint8Array {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Uint8Array.from([...bytes, rest]);
    bytes.push((rest % 128) + 128);
  }
}

/** The part of a file that is in memory; it moves along. */
class Window {
  readonly #file: fs.FileHandle;
  readonly #bytes = Buffer.allocUnsafe(WINDOW_BYTES);
  #start = 0;
  #length = 0;

  constructor(file: fs.FileHandle) {
    this.#file = file;
  }

  /** Moves to where `count` bytes from `at` are in memory, or as many as the file has. */
  async show(at: number, count: number): Promise<void> {
    if (at >= this.#start && at + count <= this.#start + this.#length) return;
    this.#start = at;
    this.#length = (await this.#file.read(this.#bytes, 0, WINDOW_BYTES, at)).bytesRead;
  }

  /** The number at a place that is shown; undefined where none ends there. */
  varint(at: number): Varint | undefined {
    let value = 0;
    for (let i = 0; i < HEAD_BYTES / 2; i += 1) {
      const index = at + i - this.#start;
      if (index >= this.#length) return undefined;
      const byte = this.#bytes[index] ?? 0;
      value += (byte % 128) * 2 ** (7 * i); // beyond 2^53 it is no length, and only its end counts
      if (byte < 128) return { value, end: at + i + 1 };
    }
    return undefined;
  }

  async copy(start: number, end: number): Promise<Uint8Array> {
    const inside = start >= this.#start && end <= this.#start + this.#length;
    if (inside) return Uint8Array.from(this.#bytes.subarray(start - this.#start, end - this.#start));
    const bytes = Buffer.allocUnsafe(end - start);
    const { bytesRead } = await this.#file.read(bytes, 0, bytes.byteLength, start);
    return bytes.subarray(0, bytesRead);
  }
}
