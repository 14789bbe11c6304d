// Asks another server over the Open Inference Protocol: the agent its hub, with binary tensors both ways. The remaining
// time travels as `timeout`, and what the caller allows travels as it came; errors come back as the ServingError that the
// other side threw (headers `tidegate-error`), so a refusal keeps its meaning over the wire. Connections, and the client
// certificate with them, are the injected Dispatcher's.
import { Agent, errors, request as send, type Dispatcher } from 'undici';
import { HTTP_STATUS, ServingError, type ServingErrorCode } from '../serving-error.js';
import type { InferAnswer, InferRequest, ModelMetadata, SequenceAsked } from '../inference-service.js';
import type { Clock } from '../../system/clock.js';
import { traceHeaders } from '../../tracing/trace-context.js';
import { parseAnswer } from './parse-answer.js';
import { parseMetadata } from './parse-metadata.js';

interface InferClientOptions {
  /** Where `/v2` is: `https://hub:9443`. */
  readonly url: string;
  /** Its connections are its owner's to close. Default: an own one, without a client certificate. */
  readonly dispatcher?: Dispatcher;
  readonly clock: Clock;
  /** An answer larger than this is not read on. */
  readonly answerBytesMax: number;
  /** Sent with each request: authorization. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface InferClient {
  readonly url: string;
  /**
   * Asks for an answer within `remainingMs`, and says so; the request's own deadline is this side's and doesn't travel.
   * Rejects with ServingError: the other side's own, `hub-unavailable` where it can't be reached or speaks nonsense,
   * `deadline-exceeded` after `remainingMs`, `cancelled` when `signal` aborts.
   */
  infer(request: InferRequest, remainingMs: number, signal: AbortSignal): Promise<InferAnswer>;
  /** What the model takes and gives. Rejects as `infer` does. */
  metadata(model: string, version: string | undefined, withinMs: number, signal: AbortSignal): Promise<ModelMetadata>;
  /** True when the server says that it is ready; false for every other answer and for none within `timeoutMs`. */
  ready(timeoutMs: number, signal: AbortSignal): Promise<boolean>;
  close(): Promise<void>;
}

export function createInferClient(options: InferClientOptions): InferClient {
  return new UndiciInferClient(options);
}

/** An error body is a sentence, not a page. */
const ERROR_BYTES_MAX = 64 * 1024;
/** Names and shapes of inputs and outputs. */
const METADATA_BYTES_MAX = 1024 * 1024;

class UndiciInferClient implements InferClient {
  readonly #options: InferClientOptions;
  readonly #dispatcher: Dispatcher;

  constructor(options: InferClientOptions) {
    this.#options = options;
    this.#dispatcher = options.dispatcher ?? new Agent();
  }

  get url(): string {
    return this.#options.url;
  }

  async close(): Promise<void> {
    if (this.#options.dispatcher === undefined) await this.#dispatcher.destroy();
  }

  async ready(timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    const limit = this.#limit(timeoutMs, signal);
    try {
      const { dispatcher, headers } = this.#common(limit.signal, timeoutMs);
      const answer = await send(`${this.#options.url}/v2/health/ready`, {
        method: 'GET',
        dispatcher,
        headers,
        signal: limit.signal,
      });
      await answer.body.dump();
      return answer.statusCode === 200;
    } catch {
      return false; // unreachable, or not in time: either way it isn't ready
    } finally {
      limit.end();
    }
  }

  async infer(request: InferRequest, remainingMs: number, signal: AbortSignal): Promise<InferAnswer> {
    if (signal.aborted) throw new ServingError('cancelled', 'the caller went away');
    if (remainingMs <= 0) throw new ServingError('deadline-exceeded', 'no time is left to ask the hub');
    const { json, body } = encodeRequest(request, remainingMs);
    const limit = this.#limit(remainingMs, signal);
    try {
      const answer = await send(`${this.#urlOf(request.model, request.version)}/infer`, {
        ...this.#common(limit.signal, remainingMs),
        method: 'POST',
        headers: {
          ...this.#options.headers,
          ...(request.trace === undefined ? {} : traceHeaders(request.trace.context)),
          'content-type': 'application/octet-stream',
          'inference-header-content-length': String(json),
        },
        body,
      });
      if (answer.statusCode !== 200) throw await refusal(answer);
      return parseAnswer(await readBounded(answer, this.#options.answerBytesMax), answer.headers);
    } catch (error) {
      throw this.#named(error, limit.late(), signal);
    } finally {
      limit.end();
    }
  }

  async metadata(
    model: string,
    version: string | undefined,
    withinMs: number,
    signal: AbortSignal,
  ): Promise<ModelMetadata> {
    const limit = this.#limit(withinMs, signal);
    try {
      const asked = { ...this.#common(limit.signal, withinMs), method: 'GET' as const };
      const answer = await send(this.#urlOf(model, version), asked);
      if (answer.statusCode !== 200) throw await refusal(answer);
      return parseMetadata(await readBounded(answer, METADATA_BYTES_MAX));
    } catch (error) {
      throw this.#named(error, limit.late(), signal);
    } finally {
      limit.end();
    }
  }

  #urlOf(model: string, version: string | undefined): string {
    const ofVersion = version === undefined ? '' : `/versions/${encodeURIComponent(version)}`;
    return `${this.#options.url}/v2/models/${encodeURIComponent(model)}${ofVersion}`;
  }

  #common(signal: AbortSignal, timeoutMs: number) {
    const milliseconds = Math.ceil(timeoutMs) + 1000; // the limit's own timer comes first
    return {
      dispatcher: this.#dispatcher,
      headers: { ...this.#options.headers },
      signal,
      headersTimeout: milliseconds,
      bodyTimeout: milliseconds,
    };
  }

  /** The caller's signal, and the clock's. */
  #limit(timeoutMs: number, signal: AbortSignal): { signal: AbortSignal; late(): boolean; end(): void } {
    const controller = new AbortController();
    let late = false;
    const onAbort = (): void => controller.abort(signal.reason);
    const cancel = this.#options.clock.after(timeoutMs, () => {
      late = true;
      controller.abort();
    });
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    const end = (): void => {
      cancel();
      signal.removeEventListener('abort', onAbort);
    };
    return { signal: controller.signal, late: () => late, end };
  }

  #named(error: unknown, late: boolean, signal: AbortSignal): ServingError {
    if (signal.aborted) return new ServingError('cancelled', 'the caller went away', { cause: error });
    if (late) return new ServingError('deadline-exceeded', 'the hub did not answer in time', { cause: error });
    if (error instanceof ServingError) return error;
    const code = error instanceof errors.UndiciError ? error.code : ((error as NodeJS.ErrnoException).code ?? '');
    const text = `the hub can't be reached: ${(error as Error).message}${code === '' ? '' : ` (${code})`}`;
    return new ServingError('hub-unavailable', text, { cause: error });
  }
}

/** JSON, then the tensors: one copy into one buffer, which the socket then writes at once. */
function encodeRequest(request: InferRequest, remainingMs: number): { json: number; body: Buffer } {
  const { id, inputs, outputs, priority, caller, placement, cache, maxStalenessMs, cacheTags, sequence, parameters } =
    request;
  const said = {
    ...parameters,
    timeout: Math.max(1, Math.floor(remainingMs * 1000)),
    ...(priority === 0 ? {} : { priority }),
    ...(caller === undefined ? {} : { tenant: caller }),
    ...(placement === 'auto' ? {} : { placement }),
    ...(cache === 'use' ? {} : { cache }),
    ...(maxStalenessMs === undefined ? {} : { max_staleness_ms: maxStalenessMs }),
    ...(cacheTags === undefined ? {} : { cache_tags: cacheTags.join(',') }),
    binary_data_output: true,
  };
  const rest = JSON.stringify({
    ...(id === undefined ? {} : { id }),
    inputs: inputs.map(({ name, datatype, shape, data }) => ({
      name,
      datatype,
      shape,
      parameters: { binary_data_size: data.byteLength },
    })),
    ...(outputs.length === 0 ? {} : { outputs: outputs.map((name) => ({ name })) }),
  });
  const head = Buffer.from(`{"parameters":${withSequence(said, sequence)},${rest.slice(1)}`);
  return { json: head.byteLength, body: Buffer.concat([head, ...inputs.map(({ data }) => data)]) };
}

/** The id as it came: JSON of 64 bits, which no number here holds. One of a connection's own is told apart from everybody's. */
function withSequence(parameters: object, sequence: SequenceAsked | undefined): string {
  const json = JSON.stringify(parameters);
  if (sequence === undefined) return json;
  const { id, start, end, scope } = sequence;
  const told = scope === undefined ? id : JSON.stringify(`${scope} ${id}`);
  return `{"sequence_id":${told},"sequence_start":${start},"sequence_end":${end},${json.slice(1)}`;
}

async function readBounded(answer: Dispatcher.ResponseData, bytesMax: number): Promise<Buffer> {
  const stated = Number(answer.headers['content-length'] ?? 0);
  const chunks: Buffer[] = [];
  let total = stated;
  if (stated <= bytesMax) {
    total = 0;
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      total += chunk.byteLength;
      if (total > bytesMax) break;
      chunks.push(chunk);
    }
  }
  if (total <= bytesMax) return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, total);
  answer.body.on('error', () => undefined); // destroying it is the error
  answer.body.destroy();
  throw new ServingError('too-large', `the hub's answer is larger than the ${bytesMax} bytes that an answer may take`);
}

const CODE_OF_STATUS: Readonly<Record<number, ServingErrorCode>> = {
  400: 'invalid-argument',
  401: 'forbidden',
  403: 'forbidden',
  404: 'not-found',
  409: 'sequence-lost',
  413: 'too-large',
  429: 'rate-limited',
  500: 'failed',
  501: 'unimplemented',
  504: 'deadline-exceeded',
};

async function refusal(answer: Dispatcher.ResponseData): Promise<ServingError> {
  const { statusCode, headers } = answer;
  const body = (await readBounded(answer, ERROR_BYTES_MAX)).toString('utf8');
  const stated = headers['tidegate-error'];
  const known = typeof stated === 'string' && Object.hasOwn(HTTP_STATUS, stated);
  const code = known ? (stated as ServingErrorCode) : (CODE_OF_STATUS[statusCode] ?? 'hub-unavailable');
  const field = headers['tidegate-error-field'];
  const retryMs = headers['tidegate-retry-after-ms'] ?? secondsToMs(headers['retry-after']);
  const text = errorText(body) ?? `the hub answered ${statusCode}`;
  const prefix = typeof field === 'string' ? `${field}: ` : '';
  return new ServingError(code, text.startsWith(prefix) ? text.slice(prefix.length) : text, {
    ...(typeof field === 'string' ? { field } : {}),
    ...(typeof retryMs === 'string' && /^[0-9]+$/.test(retryMs) ? { retryAfterMs: Number(retryMs) } : {}),
  });
}

function secondsToMs(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' && /^[0-9]{1,9}$/.test(value) ? String(Number(value) * 1000) : undefined;
}

function errorText(body: string): string | undefined {
  try {
    const { error } = JSON.parse(body) as { error?: unknown };
    return typeof error === 'string' ? error : undefined;
  } catch {
    return undefined; // some proxy's page: the status says enough
  }
}
