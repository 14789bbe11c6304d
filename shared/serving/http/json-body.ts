// The JSON of a request: read as JSON.parse does, or with every digit of long integers; and its parts, each named in the
// refusal where it is of another kind. All of it throws ServingError `invalid-argument`.
import { isUtf8 } from 'node:buffer';
import { parse as parseLossless } from 'lossless-json';
import { describe } from '../../tensor/json-data.js';
import { invalid } from './invalid.js';

export type JsonObject = Readonly<Record<string, unknown>>;

export function parseJson(json: Buffer): unknown {
  if (!isUtf8(json)) {
    const hint = 'if binary data follows the JSON, state its length in Inference-Header-Content-Length';
    throw invalid('body', `the JSON is not UTF-8 (${hint})`);
  }
  const text = json.toString('utf8');
  try {
    return JSON.parse(text);
  } catch (cause) {
    const literal = /[[:,\s-](NaN|Infinity)\b/.exec(text)?.[1];
    const hint = literal === undefined ? '' : `; ${literal} is not JSON: send such values as binary data`;
    throw invalid('body', `not valid JSON: ${(cause as Error).message}${hint}`, cause);
  }
}

/** The same object again, with integers beyond 2^53 as bigint. Slow: only for those who sent one. */
export function parseExactJson(json: Buffer): JsonObject {
  try {
    return parseLossless(json.toString('utf8'), undefined, exactNumber) as JsonObject;
  } catch (cause) {
    throw invalid('body', `can't be read without rounding: ${(cause as Error).message}`, cause);
  }
}

function exactNumber(text: string): number | bigint {
  return text.length > 15 && /^-?[0-9]+$/.test(text) ? BigInt(text) : Number(text);
}

export function objectOf(value: unknown, field: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(field, `expected an object, got ${describe(value)}`);
  }
  return value as JsonObject;
}

/** Null is nothing. */
export function optionalObject(value: unknown, field: string): JsonObject | undefined {
  return value === undefined || value === null ? undefined : objectOf(value, field);
}

export function stringOf(value: unknown, field: string): string {
  if (typeof value !== 'string') throw invalid(field, `expected a string, got ${describe(value)}`);
  return value;
}

/** Null is nothing. */
export function optionalString(value: unknown, field: string): string | undefined {
  return value === undefined || value === null ? undefined : stringOf(value, field);
}
