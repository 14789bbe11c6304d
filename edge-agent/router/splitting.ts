// Answers a request whose package lets its pipeline be split: here, at the hub, or the first part here and the rest at the hub, as split-policy.ts
// decides from what split-times.ts and the link's estimate know. A thin shell: it runs the parts, measures them, and puts the answer together.
// Invariants: nothing crosses that `privacy.fallback` keeps here (the router asks first); an answer is put together from one version only, by
// digest; when the hub fails or is late the device goes on from the values that it has.
import type { InferAnswer, InferRequest } from '@tidegate/shared/serving/inference-service.js';
import type { PipelineCut } from '@tidegate/shared/serving/pipeline-cuts.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import type { ComputedAnswer } from '@tidegate/shared/cache/answer-cache.js';
import type { AnsweredBy } from '@tidegate/shared/cache/cache-key.js';
import type { Computing } from './computing.js';
import type { HubClient } from './hub-client.js';
import { askUnderSpan } from './hub-hop.js';
import type { RequestTrail } from './request-trail.js';
import { decideSplit, type SplitDecision, type SplitOption } from './split-policy.js';
import { raceToEnd } from './split-race.js';
import { SplitTimes } from './split-times.js';

interface SplittingModules {
  readonly computing: Pick<Computing, 'run'>;
  readonly hub: Pick<HubClient, 'ask' | 'link' | 'status'>;
  readonly clock: Clock;
}

/** Requests of one variant and one set of input shapes. */
interface Kind {
  readonly times: SplitTimes;
  readonly cuts: readonly PipelineCut[];
  current: string;
  trying: boolean;
  tryFromMs: number;
  /** After a failure at the hub none is asked of it before; a caller's own wish excepted. */
  askFromMs: number;
}

/** A request that may be split. */
export interface SplitPlan {
  readonly request: InferRequest;
  readonly model: ServedModel;
  readonly kind: Kind;
  readonly forced: boolean;
}

/** The least recently asked for is forgotten. */
const LIMIT_KINDS = 256;
const TRY_INTERVAL_MS = 1000;
/** A try that takes longer is given up: the hub is well, and the link too slow to be worth more of it. */
const TRY_ENDS_MS = 10_000;
const AFTER_FAILURE_MS = 10_000;
const AFTER_OTHER_VERSION_MS = 60_000;

export class Splitting {
  readonly #modules: SplittingModules;
  readonly #kinds = new Map<string, Kind>();

  constructor(modules: SplittingModules) {
    this.#modules = modules;
  }

  /** Undefined where this request runs as a whole: its model has no cuts, or it enters or leaves inside the pipeline. */
  plan(request: InferRequest, model: ServedModel): SplitPlan | undefined {
    if (model.cuts.length === 0 || !isWhole(request, model)) return undefined;
    const oneItem = request.inputs.every(({ shape }) => shape[0] === 1);
    const cuts = model.cuts.filter((cut) => oneItem || !cut.oneItem);
    const forced = request.placement === 'split';
    if (cuts.length === 0) return undefined;
    return { request, model, kind: this.#kind(request, model, cuts), forced };
  }

  /** Under what an answer of this plan may have been kept, beside the device's own. */
  keptAs(plan: SplitPlan): AnsweredBy | undefined {
    const decision = this.#decide(plan, false);
    return decision.place === 'cut' ? answeredBy(decision.option) : undefined;
  }

  /** `whole` computes all of it here. Rejects as it does, and as Computing.run. */
  async answer(
    plan: SplitPlan,
    whole: (signal: AbortSignal) => Promise<ComputedAnswer>,
    trail: RequestTrail,
    signal: AbortSignal,
  ): Promise<ComputedAnswer> {
    const { kind } = plan;
    const nowMs = this.#modules.clock.monotonicMs();
    const decision = this.#decide(plan, !kind.trying && nowMs >= kind.tryFromMs);
    trail.note(`where its parts run: ${decision.reason}`);
    if (decision.place === 'here') {
      kind.current = 'here';
      return { ...(await this.#here(kind, whole, trail, signal)), keptAs: 'edge' };
    }
    const { option, tried } = decision;
    if (!tried) kind.current = option.name;
    else [kind.trying, kind.tryFromMs] = [true, nowMs + TRY_INTERVAL_MS];
    return this.#cut(plan, decision, whole, trail, signal);
  }

  #decide({ request, kind, forced }: SplitPlan, mayTry: boolean): SplitDecision {
    const { hub, clock } = this.#modules;
    const nowMs = clock.monotonicMs();
    const asks = forced || nowMs >= kind.askFromMs;
    const { wholeMs: hereMs } = kind.times;
    const { current } = kind;
    const options = asks ? kind.times.options(hub.link, nowMs) : [];
    const allowed = options.filter(({ name }) => kind.cuts.some((cut) => cut.name === name));
    const remainingMs = request.deadlineMs - nowMs;
    return decideSplit({
      hereMs,
      hereOld: kind.times.isOld(nowMs),
      options: allowed,
      current,
      remainingMs,
      mayTry,
      forced,
    });
  }

  async #here(
    { times }: Kind,
    whole: (signal: AbortSignal) => Promise<ComputedAnswer>,
    trail: RequestTrail,
    signal: AbortSignal,
  ): Promise<ComputedAnswer> {
    const fromMs = trail.elapsedMs;
    const before = trail.runs.length;
    const answer = await whole(signal);
    const runs = trail.runs
      .slice(before)
      .map(({ graph, fromMs: began, toMs }) => ({ graph, fromMs: began - fromMs, toMs: toMs - fromMs }));
    if (answer.from === undefined) times.ranHere(trail.elapsedMs - fromMs, runs, this.#modules.clock.monotonicMs());
    return answer;
  }

  async #cut(
    plan: SplitPlan,
    { option, patienceMs, tried }: Extract<SplitDecision, { place: 'cut' }>,
    whole: (signal: AbortSignal) => Promise<ComputedAnswer>,
    trail: RequestTrail,
    signal: AbortSignal,
  ): Promise<ComputedAnswer> {
    const { request, model, kind } = plan;
    const { clock, computing } = this.#modules;
    const cut = kind.cuts.find(({ name }) => name === option.name);
    if (cut === undefined) throw new Error(`there is no cut at ${option.name}`);
    const startedMs = clock.monotonicMs();
    const failed = (cause: unknown): never => {
      kind.trying &&= !tried;
      throw cause;
    };
    const first = option.whole
      ? undefined
      : await computing.run({ ...request, outputs: cut.wantedHere }, model, trail, signal).catch(failed);
    const hereMs = clock.monotonicMs() - startedMs;
    if (first !== undefined) kind.times.ranBefore(cut.name, hereMs);
    const values = new Map([...request.inputs, ...(first?.outputs ?? [])].map((value) => [value.name, value]));
    const crossing = option.whole ? request.inputs : cut.crossing.map((name) => valueOf(values, name));
    const parts = { plan, cut, first, values };
    const ended = await raceToEnd<ComputedAnswer>(
      {
        there: async (inner) =>
          this.#joined(parts, hereMs, await this.#there(plan, cut, crossing, tried, trail, inner)),
        here: async (inner) => {
          if (first === undefined) return { ...(await this.#here(kind, whole, trail, inner)), keptAs: 'edge' };
          const rest = { ...request, inputs: crossing, outputs: cut.wantedThere };
          return finished(parts, await computing.run(rest, model, trail, inner, { goesOn: true }));
        },
        patienceMs,
        letEndMs: tried ? TRY_ENDS_MS : 0,
      },
      clock,
      signal,
    );
    if (ended.by === 'there') return ended.value;
    trail.note(`the hub's part: ${ended.because}; the device went on by itself`);
    return { ...ended.value, note: `answered on the device; the hub's part: ${ended.because}` };
  }

  /** Rejects with ServingError, and has the hub left alone for a while where it failed. */
  async #there(
    { request, model, kind }: SplitPlan,
    cut: PipelineCut,
    inputs: readonly NamedTensor[],
    tried: boolean,
    trail: RequestTrail,
    signal: AbortSignal,
  ): Promise<{ answer: InferAnswer; tookMs: number }> {
    const { hub, clock } = this.#modules;
    const { version, versionDigest } = model.identity;
    const asked: InferRequest = { ...request, version, inputs, outputs: cut.wantedThere, placement: 'auto' };
    const startedMs = clock.monotonicMs();
    const waitMs = tried ? 2 * TRY_ENDS_MS : request.deadlineMs - startedMs; // a try is not for the caller, who may have less
    try {
      const answer = await askUnderSpan(hub, asked, waitMs, trail.span, signal);
      const nowMs = clock.monotonicMs();
      const { queueUs, computeUs, modelDigest } = answer.provenance;
      trail.hubAnswered(nowMs - startedMs, answer.provenance);
      if (modelDigest !== versionDigest) {
        kind.askFromMs = nowMs + AFTER_OTHER_VERSION_MS;
        throw new ServingError('hub-unavailable', `what the hub has as version ${version} is not this device's`);
      }
      for (const name of cut.wantedThere) valueOf(new Map(answer.outputs.map((value) => [value.name, value])), name);
      const bytes = bytesOf(inputs) + bytesOf(answer.outputs);
      if (answer.provenance.placement !== 'cache')
        kind.times.ranThere(cut.name, (queueUs + computeUs) / 1000, bytes, nowMs);
      return { answer, tookMs: nowMs - startedMs };
    } catch (cause) {
      if (tried || !signal.aborted) kind.askFromMs = Math.max(kind.askFromMs, clock.monotonicMs() + AFTER_FAILURE_MS);
      throw cause;
    } finally {
      kind.trying &&= !tried;
    }
  }

  #joined(parts: Parts, hereMs: number, { answer, tookMs }: { answer: InferAnswer; tookMs: number }): ComputedAnswer {
    const { plan, cut, first } = parts;
    const { identity } = plan.model;
    const there = answer.provenance;
    const thereMs = (there.queueUs + there.computeUs) / 1000;
    const { modelDigest, confidence, ranOn } = there;
    const joined = {
      version: identity.version,
      modelDigest,
      outputs: outputsOf(parts, answer.outputs),
      queueUs: (first?.queueUs ?? 0) + there.queueUs,
      computeUs: (first?.computeUs ?? 0) + there.computeUs,
    };
    const hubsPart = `${ms(thereMs)} at the hub, ${ms(tookMs - thereMs)} on the way`;
    if (first === undefined) {
      const { variant, variantDigest } = there;
      const note = `faster at the hub: ${hubsPart}`;
      return { ...joined, answeredBy: 'hub', keptAs: 'hub', variant, variantDigest, confidence, ranOn, note };
    }
    return {
      ...joined,
      answeredBy: 'split',
      keptAs: `split ${cut.name}`,
      variant: `${identity.variant}+${there.variant}`,
      variantDigest: `${identity.variantDigest}+${there.variantDigest}`,
      confidence: confidence ?? first.confidence,
      ranOn: first.ranOn,
      note: `cut at ${cut.name}: ${ms(hereMs)} on the device, ${hubsPart}`,
    };
  }

  #kind({ inputs }: InferRequest, { identity, cuts }: ServedModel, allowed: readonly PipelineCut[]): Kind {
    const shapes = inputs.map(({ name, datatype, shape }) => [name, datatype, shape]);
    const key = JSON.stringify([identity.name, identity.variantDigest, shapes]);
    const found = this.#kinds.get(key);
    const kind = found ?? {
      times: new SplitTimes(cuts),
      cuts: allowed,
      current: 'here',
      trying: false,
      tryFromMs: -Infinity,
      askFromMs: -Infinity,
    };
    this.#kinds.delete(key);
    this.#kinds.set(key, kind);
    const oldest = this.#kinds.keys().next();
    if (this.#kinds.size > LIMIT_KINDS && !oldest.done) this.#kinds.delete(oldest.value);
    return kind;
  }
}

interface Parts {
  readonly plan: SplitPlan;
  readonly cut: PipelineCut;
  readonly first: ComputedAnswer | undefined;
  readonly values: ReadonlyMap<string, NamedTensor>;
}

/** The device's own answer, made in two parts. */
function finished(parts: Parts, rest: ComputedAnswer): ComputedAnswer {
  const { first } = parts;
  return {
    ...rest,
    keptAs: 'edge',
    outputs: outputsOf(parts, rest.outputs),
    confidence: rest.confidence ?? first?.confidence,
    queueUs: rest.queueUs + (first?.queueUs ?? 0),
    computeUs: rest.computeUs + (first?.computeUs ?? 0),
  };
}

/** In the order asked for: what the part before the cut made, and what the other one did. */
function outputsOf({ plan, values }: Parts, made: readonly NamedTensor[]): readonly NamedTensor[] {
  const all = new Map([...values, ...made.map((value) => [value.name, value] as const)]);
  const { request, model } = plan;
  const names = request.outputs.length > 0 ? request.outputs : model.yaml.outputs.map(({ name }) => name);
  return names.map((name) => valueOf(all, name));
}

function valueOf(values: ReadonlyMap<string, NamedTensor>, name: string): NamedTensor {
  const value = values.get(name);
  if (value === undefined) throw new ServingError('failed', `a part of the pipeline did not make '${name}'`);
  return value;
}

/** From the public inputs to all public outputs. */
function isWhole({ inputs, outputs }: InferRequest, { yaml }: ServedModel): boolean {
  return (
    sameNames(inputs, yaml.inputs) &&
    (outputs.length === 0 ||
      sameNames(
        outputs.map((name) => ({ name })),
        yaml.outputs,
      ))
  );
}

function sameNames(a: readonly { readonly name: string }[], b: readonly { readonly name: string }[]): boolean {
  const names = new Set(a.map(({ name }) => name));
  return names.size === b.length && a.length === b.length && b.every(({ name }) => names.has(name));
}

function answeredBy({ whole, name }: SplitOption): AnsweredBy {
  return whole ? 'hub' : `split ${name}`;
}

function bytesOf(tensors: readonly NamedTensor[]): number {
  return tensors.reduce((sum, { data }) => sum + data.byteLength, 0);
}

function ms(value: number): string {
  return `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}
