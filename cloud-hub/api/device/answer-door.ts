// GET and PUT /device/v1/answers/KEY: shared answers (shared/wire/shared-answer.ts). Who asks and who offers is known from the
// certificate. Bodies that are being received are bounded in number, so that no fleet fills the memory.
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  AGE_HEADER,
  LIMIT_SHARED_ANSWER_BYTES,
  sharedKeySchema,
  sharedOfferSchema,
  type SharedOffer,
  type SharedOfferAnswer,
} from '@tidegate/shared/wire/shared-answer.js';
import type { SharedAnswers } from '../../shared-cache/shared-answers.js';
import { DeviceError, sendJson } from './device-error.js';
import { readBounded } from './read-document.js';

const LIMIT_RECEIVED_AT_ONCE = 128;

export interface AnswerDoorModules {
  /** Undefined where the hub shares none. */
  readonly answers: Pick<SharedAnswers, 'get' | 'offer'> | undefined;
  /** Why answers of this variant may not be shared; undefined where they may. */
  readonly refuse: (offer: SharedOffer) => Promise<string | undefined>;
}

export class AnswerDoor {
  readonly #m: AnswerDoorModules;
  #receiving = 0;

  constructor(modules: AnswerDoorModules) {
    this.#m = modules;
  }

  /** Rejects with DeviceError: 404 where there is none, 400 (names the field), 403 by policy, 413, 503. */
  async answer(request: IncomingMessage, response: ServerResponse, key: string, device: string): Promise<void> {
    const { answers } = this.#m;
    if (answers === undefined) throw new DeviceError(404, 'not-found', 'this hub shares no answers (--shared-cache 0)');
    const parsed = sharedKeySchema.safeParse(key);
    if (!parsed.success) throw new DeviceError(400, 'invalid', `key: ${issueOf(parsed.error)}`, { field: 'key' });
    if (request.method === 'PUT') return this.#take(answers, request, response, key, device);
    const found = answers.get(key);
    if (found === undefined) throw new DeviceError(404, 'not-found', 'no such answer');
    response
      .writeHead(200, {
        'content-type': 'application/octet-stream',
        'content-length': found.body.byteLength,
        'cache-control': 'no-store',
        [AGE_HEADER]: Math.round(found.ageMs),
      })
      .end(found.body);
  }

  async #take(
    answers: Pick<SharedAnswers, 'offer'>,
    request: IncomingMessage,
    response: ServerResponse,
    key: string,
    device: string,
  ): Promise<void> {
    const offer = offerOf(request.url ?? '');
    if (this.#receiving >= LIMIT_RECEIVED_AT_ONCE) {
      throw new DeviceError(503, 'busy', `${this.#receiving} answers are being received`, { retryAfterSeconds: 2 });
    }
    this.#receiving += 1;
    try {
      const refusal = await this.#m.refuse(offer);
      if (refusal !== undefined)
        throw new DeviceError(403, 'forbidden', refusal, { field: refusal.split(':')[0] ?? '' });
      const body = await readBounded(request, LIMIT_SHARED_ANSWER_BYTES);
      if (body.byteLength === 0) throw new DeviceError(400, 'invalid-body', 'the body is empty');
      const answer: SharedOfferAnswer = { state: answers.offer(key, offer, body, device) };
      sendJson(response, 202, answer);
    } finally {
      this.#receiving -= 1;
    }
  }
}

function offerOf(url: string): SharedOffer {
  const query = new URL(url, 'http://hub').searchParams;
  const given = { ...Object.fromEntries(query), tag: query.getAll('tag') };
  const parsed = sharedOfferSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  const field = parsed.error.issues[0]?.path.map(String).join('.') ?? '';
  throw new DeviceError(400, 'invalid', `query ${field}: ${issueOf(parsed.error)}`, { field });
}

function issueOf(error: { readonly issues: readonly { readonly message: string }[] }): string {
  return error.issues[0]?.message ?? 'invalid';
}
