// The hub's device API over HTTPS with the device's certificate: the truth about what is desired (with an ETag), and the way
// for reports and telemetry while MQTT is away. Answers are read through shared/wire's parsers and bounded in bytes and time.
import { request, type Dispatcher } from 'undici';
import { desiredStateSchema, type DesiredState } from '@tidegate/shared/wire/desired-state.js';
import { deviceErrorSchema, devicePaths } from '@tidegate/shared/wire/device-api.js';
import type { ReportedState } from '@tidegate/shared/wire/reported-state.js';
import type { TelemetryRecord } from '@tidegate/shared/wire/telemetry.js';
import { parseDocument } from '../state/documents.js';
import { unlessAborted } from './unless-aborted.js';

const LIMIT_ANSWER_BYTES = 4 * 1024 * 1024;
/** An upload over a link as slow as this is still waited for. */
const SLOW_UPLINK_BYTES_PER_S = 16 * 1024;

type DesiredAnswer =
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'document'; readonly desired: DesiredState; readonly etag: string | undefined };

/** `status` where the hub answered with one; undefined where it did not answer. */
export class DeviceApiError extends Error {
  override readonly name = 'DeviceApiError';
  readonly code: 'unreachable' | 'refused' | 'nonsense';
  readonly status: number | undefined;
  /** The hub's own word for why it refuses (`deviceErrorSchema`), where it said one. */
  readonly hubCode: string | undefined;
  /** The hub asked not to be asked sooner. */
  readonly retryAfterMs: number | undefined;
  constructor(
    code: 'unreachable' | 'refused' | 'nonsense',
    message: string,
    options: { cause?: unknown; status?: number; hubCode?: string | undefined; retryAfterMs?: number | undefined } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.status = options.status;
    this.hubCode = options.hubCode;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** What the hub asked for, of whatever was thrown; for WakingLoop. */
export function retryAfterMsOf(cause: Error): number | undefined {
  return cause instanceof DeviceApiError ? cause.retryAfterMs : undefined;
}

export interface DeviceApi {
  /** Rejects with DeviceApiError. */
  desired(etag: string | undefined, signal: AbortSignal): Promise<DesiredAnswer>;
  report(report: ReportedState, signal: AbortSignal): Promise<void>;
  telemetry(record: TelemetryRecord, signal: AbortSignal): Promise<void>;
  /** Resolves when the hub has the sample, now or before. `hex` is the SHA-256 of `body`. */
  sample(hex: string, body: Uint8Array, signal: AbortSignal): Promise<void>;
}

interface HttpsDeviceApiOptions {
  /** Base URL of the device port. */
  readonly deviceUrl: string;
  /** Carries the device's certificate and trusts the hub's CA. */
  readonly dispatcher: Dispatcher;
  readonly timeoutMs?: number;
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly answerEtag: string | undefined;
  readonly retryAfterMs: number | undefined;
}

export class HttpsDeviceApi implements DeviceApi {
  readonly #options: HttpsDeviceApiOptions;

  constructor(options: HttpsDeviceApiOptions) {
    this.#options = options;
  }

  async desired(etag: string | undefined, signal: AbortSignal): Promise<DesiredAnswer> {
    const headers = etag === undefined ? {} : { 'if-none-match': etag };
    const { status, text, answerEtag } = await this.#send('GET', devicePaths.desired, headers, undefined, signal);
    if (status === 304) return { kind: 'unchanged' };
    try {
      return { kind: 'document', desired: desiredStateSchema.parse(JSON.parse(text)), etag: answerEtag };
    } catch (cause) {
      throw new DeviceApiError('nonsense', `the hub's desired state can't be read: ${(cause as Error).message}`, {
        cause,
      });
    }
  }

  async report(report: ReportedState, signal: AbortSignal): Promise<void> {
    await this.#send('PUT', devicePaths.reported, {}, report, signal);
  }

  async telemetry(record: TelemetryRecord, signal: AbortSignal): Promise<void> {
    await this.#send('POST', devicePaths.telemetry, {}, record, signal);
  }

  async sample(hex: string, body: Uint8Array, signal: AbortSignal): Promise<void> {
    const timeoutMs = this.#timeoutMs + (body.byteLength / SLOW_UPLINK_BYTES_PER_S) * 1000;
    await this.#send('PUT', devicePaths.sample(hex), {}, body, signal, timeoutMs);
  }

  get #timeoutMs(): number {
    return this.#options.timeoutMs ?? 30_000;
  }

  async #send(
    method: 'GET' | 'PUT' | 'POST',
    path: string,
    headers: Record<string, string>,
    body: object | undefined,
    signal: AbortSignal,
    timeoutMs = this.#timeoutMs,
  ): Promise<Answer> {
    const url = new URL(path, this.#options.deviceUrl).href;
    const ends = AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(timeoutMs))]);
    let answer: Answer;
    try {
      answer = await unlessAborted(this.#exchange(method, url, headers, body, ends), ends, () => undefined);
    } catch (cause) {
      signal.throwIfAborted();
      throw new DeviceApiError('unreachable', `${method} ${url}: ${(cause as Error).message}`, { cause });
    }
    const { status, text, retryAfterMs } = answer;
    if ((status >= 200 && status < 300) || status === 304) return answer;
    const code = status >= 500 || status === 429 || status === 408 ? 'unreachable' : 'refused';
    throw new DeviceApiError(code, `${method} ${url} answered ${status}: ${text.slice(0, 300)}`, {
      status,
      hubCode: parseDocument(text, deviceErrorSchema)?.code,
      retryAfterMs,
    });
  }

  async #exchange(
    method: 'GET' | 'PUT' | 'POST',
    url: string,
    headers: Record<string, string>,
    body: object | undefined,
    signal: AbortSignal,
  ): Promise<Answer> {
    const response = await request(url, {
      method,
      dispatcher: this.#options.dispatcher,
      signal,
      headers: { ...headers, ...(body === undefined ? {} : { 'content-type': typeOf(body) }) },
      ...(body === undefined ? {} : { body: body instanceof Uint8Array ? body : JSON.stringify(body) }),
    });
    const { etag, 'retry-after': retryAfter } = response.headers;
    const answerEtag = etag === undefined ? undefined : String(etag);
    const text = await boundedText(response.body);
    return { status: response.statusCode, text, answerEtag, retryAfterMs: retryMsOf(retryAfter) };
  }
}

/** Bytes go as they are, everything else as JSON. */
function typeOf(body: object): string {
  return body instanceof Uint8Array ? 'application/octet-stream' : 'application/json';
}

/** The hub says seconds; anything else is not heard. */
function retryMsOf(value: string | string[] | undefined): number | undefined {
  return typeof value === 'string' && /^[0-9]{1,9}$/.test(value) ? Number(value) * 1000 : undefined;
}

async function boundedText(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of body) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > LIMIT_ANSWER_BYTES) throw new Error(`the answer is larger than ${LIMIT_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
