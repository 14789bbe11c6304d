// Answers had from the hub: because it was asked for, instead of the device's error, or as a better one than the device has. A thin
// shell: place.ts and hub-wait.ts decide, the hub client calls. What the device has, answer or error, stands where the hub
// may not be asked, fails, or is late.
import type { InferAnswer, InferRequest } from '@tidegate/shared/serving/inference-service.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { HubClient } from './hub-client.js';
import { askUnderSpan } from './hub-hop.js';
import { hubWaitMs } from './hub-wait.js';
import type { KeptAnswers } from './kept-answers.js';
import { rescue, type PlaceView, type RescueView } from './place.js';
import { answerOf, computedOf, fromHub, ofVersion, withReason } from './provenance.js';
import type { RequestTrail } from './request-trail.js';

interface HubAnswersModules {
  readonly kept: Pick<KeptAnswers, 'answer'>;
  /** Undefined where there is no hub. */
  readonly hub: Pick<HubClient, 'ask' | 'status' | 'times'> | undefined;
  /** The device's models are the hub's, and so are the names of their versions. */
  readonly hubVersions: boolean;
  readonly clock: Clock;
}

/** What a hub is taken to need that was never asked. */
const HUB_UNMEASURED_MS = 200;

export class HubAnswers {
  readonly #modules: HubAnswersModules;

  constructor(modules: HubAnswersModules) {
    this.#modules = modules;
  }

  /** How soon the hub could answer instead, were the device not ready; undefined = it may not be asked. */
  elsewhereMs(view: PlaceView): number | undefined {
    const { hub } = this.#modules;
    const { place } = rescue({ ...view, trouble: 'not-ready', detail: '' });
    return hub === undefined || place === 'local' ? undefined : (hub.times.meanMs ?? HUB_UNMEASURED_MS);
  }

  /**
   * Its answer within `waitMs`, kept like the device's own where the device has the model (`model`). `reason`: why it is asked.
   * Rejects as HubClient.ask.
   */
  async ask(
    request: InferRequest,
    model: ServedModel | undefined,
    reason: string,
    waitMs: number,
    trail: RequestTrail,
    signal: AbortSignal,
  ): Promise<InferAnswer> {
    const { hub, clock } = this.#modules;
    if (hub === undefined) throw new ServingError('hub-unavailable', 'this agent has no hub');
    const version = request.version ?? this.#versionAtHub(request, model);
    const forHub: InferRequest = { ...request, placement: 'auto', version }; // where it may run has been decided here
    const ask = async (inner: AbortSignal): Promise<InferAnswer> => {
      const startMs = clock.monotonicMs();
      const answer = await askUnderSpan(hub, forHub, waitMs, trail.span, inner).catch((error: unknown) => {
        if (version === request.version || !isNotFound(error)) throw error;
        trail.note(`the hub has no version ${version}: asking for its newest`);
        const leftMs = waitMs - (clock.monotonicMs() - startMs);
        return askUnderSpan(hub, { ...forHub, version: undefined }, leftMs, trail.span, inner);
      });
      trail.hubAnswered(clock.monotonicMs() - startMs, answer.provenance);
      return answer;
    };
    if (model === undefined) return fromHub(await ask(signal), reason);
    let asked: InferAnswer | undefined;
    const outcome = await this.#modules.kept.answer(
      forHub,
      model,
      'hub',
      signal,
      undefined,
      async (request, flight, inner) => {
        if (flight.renewal !== undefined) return computedOf(await hub.ask(request, waitMs, inner), model.identity);
        asked = await ask(inner);
        return computedOf(asked, model.identity);
      },
    );
    const answer = asked === undefined ? answerOf(request, outcome, reason) : fromHub(asked, reason);
    return ofVersion(answer, model.identity);
  }

  /** The device could not answer: the hub may, in all the time that is left. Else the device's own error stands. */
  async insteadOf(
    request: InferRequest,
    model: ServedModel,
    view: RescueView,
    error: ServingError,
    trail: RequestTrail,
    signal: AbortSignal,
  ): Promise<InferAnswer> {
    const decision = rescue(view);
    const remainingMs = request.deadlineMs - this.#modules.clock.monotonicMs();
    if (decision.place === 'local' || (this.#modules.hub?.times.meanMs ?? 0) > remainingMs) throw error;
    trail.note(`asking the hub: ${decision.reason}`);
    try {
      return await this.ask(request, model, decision.reason, remainingMs, trail, signal);
    } catch (cause) {
      trail.note(`the hub: ${messageOf(cause)}`);
      if (signal.aborted) throw cause;
      throw new ServingError(error.code, `${error.message}; the hub: ${messageOf(cause)}`, {
        cause,
        ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
      });
    }
  }

  /** The device has an answer of low confidence: the hub's is better, if it comes soon. */
  async betterThan(
    request: InferRequest,
    model: ServedModel,
    view: RescueView,
    local: InferAnswer,
    trail: RequestTrail,
    signal: AbortSignal,
  ): Promise<InferAnswer> {
    const { hub, clock } = this.#modules;
    const decision = rescue(view);
    if (decision.place === 'local' || hub === undefined) return withReason(local, decision.reason);
    const waitMs = hubWaitMs(hub.times, request.deadlineMs - clock.monotonicMs());
    trail.note(`asking the hub for at most ${Math.round(waitMs)} ms: ${decision.reason}`);
    try {
      return await this.ask(request, model, decision.reason, waitMs, trail, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      trail.note(`the hub: ${messageOf(error)}`);
      return withReason(local, `${view.detail}; ${messageOf(error)}, so the device's answer stands`);
    }
  }

  /** The hub is to answer as this device would; a sequence goes on there with the version that it began with. */
  #versionAtHub({ sequence }: InferRequest, model: ServedModel | undefined): string | undefined {
    const goesOn = sequence !== undefined && !sequence.start;
    return this.#modules.hubVersions && !goesOn ? model?.identity.version : undefined;
  }
}

function isNotFound(error: unknown): boolean {
  return error instanceof ServingError && error.code === 'not-found';
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
