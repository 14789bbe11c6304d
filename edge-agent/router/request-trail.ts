// What happened to one request, told when it ended: to `explain` in sentences, to the observers (telemetry, metrics) in figures;
// and to its span, where it is traced, each step as it happens.
import type { InferAnswer, InferRequest } from '@tidegate/shared/serving/inference-service.js';
import type { RunFacts } from '@tidegate/shared/serving/evaluate-request.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { traceRun } from '@tidegate/shared/serving/request-trace.js';
import { ServingError, type ServingErrorCode } from '@tidegate/shared/serving/serving-error.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Span } from '@tidegate/shared/tracing/span.js';
import type { AnswerObserver, FinishedRequest, OwnAnswer } from '../telemetry/answer-observer.js';
import type { Explanations } from './explanations.js';
import type { StageRun } from './split-times.js';

/** Every request's end, for metrics; the observers hear only of those whose model runs here. */
export interface RequestEnd {
  /** Undefined where no such model runs here, so that callers can't make up labels. */
  readonly model: string | undefined;
  readonly outcome: FinishedRequest['outcome'] | 'split';
  /** `ok` or the refusal's code. */
  readonly code: 'ok' | ServingErrorCode;
  readonly totalMs: number;
}

interface TrailModules {
  readonly observers: readonly AnswerObserver[];
  readonly onEnd: (end: RequestEnd) => void;
  readonly explanations: Explanations;
  readonly clock: Clock;
}

/** Codes that say that the model failed; the others are refusals or the caller's own. */
const MODEL_ERRORS: ReadonlySet<string> = new Set(['failed']);

export class RequestTrail {
  readonly #request: InferRequest;
  readonly #modules: TrailModules;
  readonly #acceptedMs: number;
  readonly #acceptedAtMs: number;
  readonly #steps: { afterMs: number; what: string }[] = [];
  readonly #runs: StageRun[] = [];
  readonly #spent = { queueMs: 0, runMs: 0, hubMs: 0 };
  /** The device's model for this request, once known. */
  model: Pick<ServedModel, 'identity' | 'yaml'> | undefined;
  /** Confidence of the device's own fresh answer. */
  edgeConfidence: number | undefined;
  /** The answer that the device computed for this very request. */
  own: Omit<OwnAnswer, 'inputs'> | undefined;

  constructor(request: InferRequest, modules: TrailModules) {
    this.#request = request;
    this.#modules = modules;
    this.#acceptedMs = modules.clock.monotonicMs();
    this.#acceptedAtMs = modules.clock.nowMs();
    const { sequence } = request;
    if (sequence === undefined) return;
    const { id, start, end } = sequence;
    this.note(`sequence ${id} ${start ? 'begins' : 'goes on'}${end ? ', and ends' : ''}`);
  }

  /** Undefined where it is not traced. */
  get span(): Span | undefined {
    return this.#request.trace?.span;
  }

  /** Since it was accepted. */
  get elapsedMs(): number {
    return this.#modules.clock.monotonicMs() - this.#acceptedMs;
  }

  /** Of graphs on the device, in ms since it was accepted, in the order in which they ended. */
  get runs(): readonly StageRun[] {
    return this.#runs;
  }

  note(what: string): void {
    this.#steps.push({ afterMs: this.elapsedMs, what });
    this.span?.event(what);
  }

  ran(run: RunFacts): void {
    const { graph, queueUs, computeUs, rows, batchRows } = run;
    if (this.span !== undefined) traceRun(this.span, run);
    this.#spent.queueMs = Math.max(this.#spent.queueMs, queueUs / 1000);
    this.#spent.runMs += computeUs / 1000;
    const toMs = this.elapsedMs;
    this.#runs.push({ graph, fromMs: toMs - (queueUs + computeUs) / 1000, toMs });
    const mates = batchRows > rows ? `, together with ${batchRows - rows} rows of others` : '';
    this.note(`${graph}: waited ${ms(queueUs / 1000)} for an executor, ran ${ms(computeUs / 1000)}${mates}`);
  }

  hubAnswered(tookMs: number, { queueUs, computeUs }: InferAnswer['provenance']): void {
    this.#spent.hubMs += tookMs;
    this.note(
      `the hub answered after ${ms(tookMs)}, of which it waited ${ms(queueUs / 1000)} and ran ${ms(computeUs / 1000)}`,
    );
  }

  answered(answer: InferAnswer): void {
    const { placement, reason } = answer.provenance;
    this.#end(placement, 'ok', `${placement}: ${reason}`, answer.version);
  }

  refused(error: unknown): void {
    const code = error instanceof ServingError ? error.code : 'failed';
    const message = error instanceof Error ? error.message : String(error);
    this.#end(MODEL_ERRORS.has(code) ? 'model-error' : 'refused', code, `${code}: ${message}`, this.#request.version);
  }

  #end(outcome: RequestEnd['outcome'], code: RequestEnd['code'], result: string, version: string | undefined): void {
    const totalMs = this.elapsedMs;
    const { explanations, observers, onEnd } = this.#modules;
    onEnd({ model: this.model === undefined ? undefined : this.#request.model, outcome, code, totalMs });
    explanations.add({
      id: this.#request.id ?? explanations.nextId(),
      model: this.#request.model,
      version,
      acceptedAtMs: this.#acceptedAtMs,
      totalMs,
      result,
      ...(this.span === undefined ? {} : { traceId: this.span.context.traceId }),
      spent: this.#spent,
      steps: this.#steps,
    });
    if (this.model === undefined || observers.length === 0) return; // a model of the hub's: nothing to judge here
    const { versionDigest, variantDigest } = this.model.identity;
    const { edgeConfidence, own } = this;
    const { model, inputs } = this.#request;
    const finished: FinishedRequest = {
      model,
      versionDigest,
      variantDigest,
      outcome: outcome === 'split' ? 'hub' : outcome, // not this variant's alone
      totalMs,
      edgeConfidence,
      privacy: this.model.yaml.privacy,
      ...(own && { own: { inputs, ...own } }),
    };
    for (const observer of observers) observer.finished(finished);
  }
}

function ms(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : 0)} ms`;
}
