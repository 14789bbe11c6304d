// Decodes any message that has a descriptor. Byte fields stay views of the file's buffer, unknown fields are kept as they
// stand. Stricter than protobuf in two places, because a reader that sees another model than the engine does is a hole: a
// known field with a wrong wire type and a second value for a singular message are refused (protobuf ignores and merges).
import { OnnxError } from './onnx-error.js';
import type { MessageType, NamedField } from './message-type.js';
import { WireReader } from './wire-reader.js';

/** Messages within messages; a subgraph costs three levels. Protobuf's own default. */
const LIMIT_NESTING = 100;

type NumberArray = Int32Array | BigInt64Array | BigUint64Array | Float32Array | Float64Array;

const WIRE_TYPE = {
  string: 2,
  bytes: 2,
  message: 2,
  int32: 0,
  safe64: 0,
  int64: 0,
  uint64: 0,
  float: 5,
  double: 1,
} as const;

/** Throws OnnxError `malformed` or `too-large`. */
export function decodeMessage(bytes: Uint8Array, type: MessageType): unknown {
  return readMessage(new WireReader(bytes), type, 0);
}

function readMessage(reader: WireReader, type: MessageType, depth: number): Record<string, unknown> {
  if (depth > LIMIT_NESTING) throw new OnnxError('too-large', `messages nest deeper than ${LIMIT_NESTING}`);
  reader.countObject();
  const message = emptyMessage(type);
  const scattered = new Map<NamedField, unknown[]>(); // numbers that came one by one
  while (reader.at < reader.end) {
    const start = reader.at;
    const tag = reader.uint32();
    const field = type.byNumber.get(tag >>> 3);
    if (field === undefined) {
      if (tag >>> 3 === 0) reader.fail('field number 0');
      ((message['unknown'] ??= []) as unknown[]).push(reader.unknown(start, tag & 7));
    } else {
      readField(reader, message, field, tag & 7, scattered, type, depth);
    }
  }
  for (const [field, values] of scattered) message[field.name] = joinNumbers(field, message[field.name], values);
  return message;
}

function emptyMessage(type: MessageType): Record<string, unknown> {
  const message: Record<string, unknown> = {};
  for (const field of type.fields) if (field.repeated) message[field.name] = emptyRepeated(field);
  return message;
}

const EMPTY = {
  int32: new Int32Array(0),
  int64: new BigInt64Array(0),
  uint64: new BigUint64Array(0),
  float: new Float32Array(0),
  double: new Float64Array(0),
};

function isTyped(field: NamedField): field is NamedField & { kind: keyof typeof EMPTY } {
  return field.repeated && field.kind in EMPTY;
}

function emptyRepeated(field: NamedField): unknown {
  return isTyped(field) ? EMPTY[field.kind] : [];
}

function readField(
  reader: WireReader,
  message: Record<string, unknown>,
  field: NamedField,
  wireType: number,
  scattered: Map<NamedField, unknown[]>,
  type: MessageType,
  depth: number,
): void {
  const expected = WIRE_TYPE[field.kind];
  if (field.repeated && wireType === 2 && expected !== 2) {
    readPacked(reader, message, field, scattered);
    return;
  }
  if (wireType !== expected) reader.fail(`wire type ${wireType} for ${type.name}.${field.name}`);
  const value =
    field.kind === 'message'
      ? readNested(reader, field, depth)
      : reader[field.kind === 'uint64' ? 'int64' : field.kind]();
  if (isTyped(field)) {
    const values = scattered.get(field);
    if (values === undefined) scattered.set(field, [value]);
    else values.push(value);
  } else if (field.repeated) {
    (message[field.name] as unknown[]).push(value);
  } else {
    if (field.kind === 'message' && message[field.name] !== undefined)
      reader.fail(`a second ${type.name}.${field.name}`);
    if (field.oneof !== undefined) {
      for (const other of type.fields) if (other.oneof === field.oneof) delete message[other.name];
    }
    message[field.name] = value;
  }
}

function readNested(reader: WireReader, field: NamedField, depth: number): unknown {
  const end = reader.lengthEnd();
  const outerEnd = reader.end;
  reader.end = end;
  const nested = readMessage(reader, (field.message as () => MessageType)(), depth + 1);
  reader.end = outerEnd;
  return nested;
}

function readPacked(
  reader: WireReader,
  message: Record<string, unknown>,
  field: NamedField,
  scattered: Map<NamedField, unknown[]>,
): void {
  const end = reader.lengthEnd();
  const outerEnd = reader.end;
  reader.end = end;
  if (!isTyped(field)) {
    while (reader.at < end) (message[field.name] as number[]).push(reader.safe64());
  } else if ((message[field.name] as NumberArray).length === 0 && !scattered.has(field)) {
    message[field.name] = packedNumbers(reader, field, end);
  } else {
    const values = scattered.get(field) ?? [];
    scattered.set(field, values);
    for (const value of packedNumbers(reader, field, end)) values.push(value);
  }
  reader.end = outerEnd;
}

function packedNumbers(reader: WireReader, field: NamedField & { kind: keyof typeof EMPTY }, end: number): NumberArray {
  const size = field.kind === 'float' ? 4 : field.kind === 'double' ? 8 : 0;
  if (size > 0 && (end - reader.at) % size !== 0) reader.fail(`${field.name} is no whole number of elements`);
  const count = size > 0 ? (end - reader.at) / size : reader.countVarints(end);
  const numbers = newNumbers(field.kind, count);
  if (numbers instanceof BigInt64Array || numbers instanceof BigUint64Array) {
    for (let i = 0; i < count; i += 1) numbers[i] = reader.int64();
  } else {
    const read = field.kind as 'int32' | 'float' | 'double';
    for (let i = 0; i < count; i += 1) numbers[i] = reader[read]();
  }
  if (reader.at !== end) reader.fail(`${field.name} ends inside a number`);
  return numbers;
}

function newNumbers(kind: keyof typeof EMPTY, count: number): NumberArray {
  if (kind === 'int32') return new Int32Array(count);
  if (kind === 'int64') return new BigInt64Array(count);
  if (kind === 'uint64') return new BigUint64Array(count);
  return kind === 'float' ? new Float32Array(count) : new Float64Array(count);
}

function joinNumbers(field: NamedField, first: unknown, values: unknown[]): NumberArray {
  const head = first as NumberArray;
  const joined = newNumbers(field.kind as keyof typeof EMPTY, head.length + values.length);
  joined.set(head as never);
  joined.set(values as never, head.length);
  return joined;
}
