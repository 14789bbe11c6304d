// Asks a server of the Open Inference Protocol (oip-server.ts) over HTTP, and reads its answers.
import { expect } from 'vitest';
import type { OipLimits } from '@tidegate/shared/serving/http/oip-limits.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';
import type { OipServer } from './oip-server.js';

/** Small enough for tests to reach. */
export const SMALL_LIMITS: Partial<OipLimits> = {
  bodyBytesMax: 1 << 20,
  jsonBytesMax: 1 << 18,
  bodiesBytesMax: 4 << 20,
};

export type Json = Record<string, unknown>;
interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly json: Json;
  readonly binary: Buffer;
}

export const fp32 = (data: unknown, extra: Json = {}): string =>
  JSON.stringify({ inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: [2], data }], ...extra });

export const GOOD = fp32([1, 2]);

/** `server` is asked for at each call: suites start theirs in beforeAll. */
export function oipCaller(server: () => Pick<OipServer, 'url'>) {
  async function call(path: string, body?: string | Buffer, headers: Record<string, string> = {}): Promise<Answer> {
    const response = await fetch(
      server().url + path,
      body === undefined ? { headers } : { method: 'POST', body: body as string, headers },
    );
    const whole = Buffer.from(await response.arrayBuffer());
    const jsonBytes = Number(response.headers.get('inference-header-content-length') ?? whole.byteLength);
    const json = JSON.parse(whole.subarray(0, jsonBytes).toString()) as Json;
    return { status: response.status, headers: response.headers, json, binary: whole.subarray(jsonBytes) };
  }

  const inferFp32 = (body: string | Buffer, headers?: Record<string, string>): Promise<Answer> =>
    call('/v2/models/echo-fp32/infer', body, headers);

  /** After each refusal a good request must work. */
  async function refused(answer: Promise<Answer>, status: number, field: string, text: RegExp | string): Promise<void> {
    const { status: got, json, headers } = await answer;
    expect(Object.keys(json)).toEqual(['error']);
    expect(json['error']).toMatch(text);
    expect(got).toBe(status);
    expect(headers.get('content-type')).toBe('application/json');
    expect(headers.get('tidegate-error-field') ?? '').toBe(field);
    expect((await inferFp32(GOOD)).status).toBe(200);
  }

  return { call, inferFp32, refused };
}

export function withBinary(json: Json, ...parts: ArrayBufferView[]): { body: Buffer; headers: Record<string, string> } {
  const text = Buffer.from(JSON.stringify(json));
  return {
    body: Buffer.concat([text, ...parts.map(bytesOf)]),
    headers: { 'inference-header-content-length': String(text.byteLength) },
  };
}
