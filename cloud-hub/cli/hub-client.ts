// Calls the hub's HTTP as the command line needs it: JSON in, JSON out (parsed by the wire's schemas), problem documents as CliError.
import { randomUUID } from 'node:crypto';
import type { Readable } from 'node:stream';
import { problemSchema } from '@tidegate/shared/wire/admin-api.js';
import { request as httpRequest } from 'undici';
import type { z } from 'zod';
import { CliError } from './cli-error.js';
import type { Credentials } from './credentials.js';

const TIMEOUT_MS = 60_000;
const LIMIT_PAGES = 200;

/** A problem that the hub answered with. */
export class HubProblem extends CliError {
  readonly status: number;
  readonly field: string | undefined;
  constructor(status: number, message: string, field: string | undefined) {
    super(message);
    this.status = status;
    this.field = field;
  }
}

/** The hub can't be reached, or the line was cut before its answer came: it may have done what was asked for. */
class LostAnswer extends CliError {}

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Uint8Array;
}

export class HubClient {
  readonly #credentials: Credentials;

  constructor(credentials: Credentials) {
    this.#credentials = credentials;
  }

  get hub(): string {
    return this.#credentials.hub;
  }

  get<T>(path: string, schema: z.ZodType<T>): Promise<T> {
    return this.#json('GET', path, schema);
  }

  /** `timeoutMs`: how long the hub may take for its answer, where that is work. */
  post<T>(path: string, body: unknown, schema: z.ZodType<T>, timeoutMs = TIMEOUT_MS): Promise<T> {
    return this.#json('POST', path, schema, body, timeoutMs);
  }

  /** For what must happen once: where the answer is lost the request is sent again, under a key by which the hub knows it. */
  async postOnce<T>(path: string, body: unknown, schema: z.ZodType<T>): Promise<T> {
    const headers = { 'idempotency-key': randomUUID() };
    try {
      return await this.#json('POST', path, schema, body, TIMEOUT_MS, headers);
    } catch (cause) {
      if (!(cause instanceof LostAnswer)) throw cause;
      return this.#json('POST', path, schema, body, TIMEOUT_MS, headers);
    }
  }

  put<T>(path: string, body: unknown, schema: z.ZodType<T>): Promise<T> {
    return this.#json('PUT', path, schema, body);
  }

  async delete(path: string): Promise<void> {
    const answer = await this.raw('DELETE', path);
    if (answer.status >= 300) throw problemOf(answer);
  }

  async putStream<T>(path: string, body: Readable, sizeBytes: number, schema: z.ZodType<T>): Promise<T> {
    const headers = { 'content-type': 'application/octet-stream', 'content-length': String(sizeBytes) };
    return parse(await this.raw('PUT', path, { headers, body }), schema);
  }

  /** All items of a paged list. */
  async list<T>(path: string, schema: z.ZodType<{ items: T[]; nextCursor?: string | undefined }>): Promise<T[]> {
    const items: T[] = [];
    let cursor: string | undefined;
    for (let pages = 0; pages < LIMIT_PAGES; pages += 1) {
      const query = cursor === undefined ? '' : `${path.includes('?') ? '&' : '?'}cursor=${encodeURIComponent(cursor)}`;
      const page = await this.get(`${path}${query}`, schema);
      items.push(...page.items);
      cursor = page.nextCursor;
      if (cursor === undefined) break;
    }
    return items;
  }

  async raw(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    options: {
      headers?: Readonly<Record<string, string>>;
      body?: Uint8Array | string | Readable;
      timeoutMs?: number;
    } = {},
  ): Promise<RawAnswer> {
    const { timeoutMs = TIMEOUT_MS } = options;
    const { hub, token } = this.#credentials;
    try {
      const answer = await httpRequest(`${hub}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, ...options.headers },
        ...(options.body === undefined ? {} : { body: options.body }),
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
      });
      const body = new Uint8Array(await answer.body.arrayBuffer());
      return { status: answer.statusCode, headers: answer.headers, body };
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new LostAnswer(`the hub ${hub} can't be reached: ${reason}`, { cause });
    }
  }

  async #json<T>(
    method: 'GET' | 'POST' | 'PUT',
    path: string,
    schema: z.ZodType<T>,
    body?: unknown,
    timeoutMs = TIMEOUT_MS,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<T> {
    const sent =
      body === undefined
        ? { headers }
        : { headers: { ...headers, 'content-type': 'application/json' }, body: JSON.stringify(body) };
    return parse(await this.raw(method, path, { ...sent, timeoutMs }), schema);
  }
}

function parse<T>(answer: RawAnswer, schema: z.ZodType<T>): T {
  if (answer.status >= 300) throw problemOf(answer);
  const parsed = schema.safeParse(jsonOf(answer.body));
  if (!parsed.success)
    throw new CliError('the hub answered something unexpected; is it of another version?', { cause: parsed.error });
  return parsed.data;
}

/** RFC 9457 of the admin API, or the inference protocol's `{"error": ...}`. */
export function problemOf(answer: RawAnswer): HubProblem {
  const json = jsonOf(answer.body);
  const parsed = problemSchema.safeParse(json);
  if (parsed.success) {
    const { detail, title, field } = parsed.data;
    return new HubProblem(answer.status, detail ?? title, field);
  }
  const error = (json as { error?: unknown } | undefined)?.error;
  const text = typeof error === 'string' ? error : `the hub answered ${answer.status}`;
  return new HubProblem(answer.status, text, undefined);
}

function jsonOf(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined; // no JSON: the schema, or the status, says so
  }
}
