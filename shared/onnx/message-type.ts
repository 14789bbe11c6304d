// Descriptors: what the codec knows of a protobuf message. One decoder and one encoder read these tables instead of code
// generated per message; TypeScript checks each table against the message's interface, field by field.

/**
 * How a field travels and what it is here.
 * - `safe64`: a 64-bit varint that must fit 2^53 (dimensions, versions) -> number. `int64`, `uint64` -> bigint.
 * - repeated numbers are typed arrays (Int32Array, BigInt64Array, ...), except `safe64` and `enum`: number[].
 * - `bytes` is a view of the file's buffer, never a copy.
 */
type FieldKind = 'string' | 'bytes' | 'int32' | 'safe64' | 'int64' | 'uint64' | 'float' | 'double' | 'message';

export interface Field {
  readonly number: number;
  readonly kind: FieldKind;
  readonly repeated: boolean;
  /** How it is written; both forms are read, as protobuf asks. */
  readonly packed: boolean;
  /** Members of one oneof: the last one read wins and clears the others. */
  readonly oneof?: string;
  /** Only kind `message`; a function, because messages refer to each other. */
  readonly message?: () => MessageType;
}

/** A field with the name of its property. */
export interface NamedField extends Field {
  readonly name: string;
}

export interface MessageType {
  readonly name: string;
  /** In the order of their numbers, which is the order they are written in. */
  readonly fields: readonly NamedField[];
  readonly byNumber: ReadonlyMap<number, NamedField>;
}

/** Fields that the descriptor doesn't know, tag and all, as they stood in the file; written back after the known ones. */
export interface WithUnknown {
  readonly unknown?: readonly Uint8Array[];
}

type FieldsOf<T> = { readonly [K in keyof Required<Omit<T, 'unknown'>>]: Field };

export function messageType<T extends WithUnknown>(name: string, fields: FieldsOf<T>): MessageType {
  const named = Object.entries<Field>(fields).map(([key, field]): NamedField => ({ ...field, name: key }));
  named.sort((a, b) => a.number - b.number);
  return { name, fields: named, byNumber: new Map(named.map((field) => [field.number, field])) };
}

export function one(number: number, kind: FieldKind, oneof?: string): Field {
  return { number, kind, repeated: false, packed: false, ...(oneof === undefined ? {} : { oneof }) };
}

export function many(number: number, kind: FieldKind, form: 'packed' | 'unpacked' = 'unpacked'): Field {
  return { number, kind, repeated: true, packed: form === 'packed' };
}

export function oneMessage(number: number, message: () => MessageType, oneof?: string): Field {
  return { ...one(number, 'message', oneof), message };
}

export function manyMessages(number: number, message: () => MessageType): Field {
  return { ...many(number, 'message'), message };
}
