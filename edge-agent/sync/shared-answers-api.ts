// Shared answers over the device port, with the device's certificate (shared/wire/shared-answer.ts). What comes is bounded while it
// arrives; whether it is an answer is the cache's to see.
import { request, type Dispatcher } from 'undici';
import { devicePaths } from '@tidegate/shared/wire/device-api.js';
import { AGE_HEADER, LIMIT_SHARED_ANSWER_BYTES, type SharedOffer } from '@tidegate/shared/wire/shared-answer.js';
import type { AnswerOffer, SharedAnswer, SharedAnswersLink } from '../cache/shared-layer.js';
import { unlessAborted } from './unless-aborted.js';

interface Options {
  /** Base URL of the device port. */
  readonly deviceUrl: string;
  readonly dispatcher: Dispatcher;
}

export class SharedAnswersApi implements SharedAnswersLink {
  readonly #options: Options;

  constructor(options: Options) {
    this.#options = options;
  }

  get(key: string, signal: AbortSignal): Promise<SharedAnswer | undefined> {
    return unlessAborted(this.#get(key, signal), signal, () => undefined);
  }

  offer(offer: AnswerOffer, signal: AbortSignal): Promise<void> {
    return unlessAborted(this.#offer(offer, signal), signal, () => undefined);
  }

  async #get(key: string, signal: AbortSignal): Promise<SharedAnswer | undefined> {
    const { deviceUrl, dispatcher } = this.#options;
    const response = await request(new URL(devicePaths.answer(key), deviceUrl), { dispatcher, signal });
    const body = await bounded(response.body);
    if (response.statusCode === 404) return undefined;
    const ageMs = Number(response.headers[AGE_HEADER] ?? NaN);
    if (response.statusCode !== 200 || !(ageMs >= 0)) throw new Error(`the hub answered ${response.statusCode}`);
    return { body, ageMs };
  }

  async #offer({ key, labels, versionDigest, variantDigest, body }: AnswerOffer, signal: AbortSignal): Promise<void> {
    const { deviceUrl, dispatcher } = this.#options;
    const url = new URL(devicePaths.answer(key), deviceUrl);
    const { model, tags } = labels;
    const query = { model, version: versionDigest, variant: variantDigest } satisfies Omit<SharedOffer, 'tag'>;
    for (const [name, value] of [...Object.entries(query), ...tags.map((tag) => ['tag', tag] as const)])
      url.searchParams.append(name, value);
    const headers = { 'content-type': 'application/octet-stream' };
    const response = await request(url, { method: 'PUT', dispatcher, signal, headers, body });
    const text = Buffer.from(await bounded(response.body)).toString('utf8');
    if (response.statusCode !== 202) throw new Error(`the hub answered ${response.statusCode}: ${text.slice(0, 300)}`);
  }
}

async function bounded(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of body) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > LIMIT_SHARED_ANSWER_BYTES) throw new Error('the hub answered more than an answer may be');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
