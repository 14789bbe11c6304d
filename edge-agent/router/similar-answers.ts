// The semantic cache in front of computing (`cache.semantic` of model.yaml): makes the input's embedding, gives the answer to a similar input
// or computes on from the embedding, so that what made it doesn't run twice. Only for whole requests: every public input given, one row;
// anything else is computed as ever. What it gives says so, with the distance.
import type { InferRequest } from '@tidegate/shared/serving/inference-service.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import type { ComputedAnswer } from '@tidegate/shared/cache/answer-cache.js';
import type { SemanticHit, SemanticLayer, SemanticQuestion } from '../cache/semantic-layer.js';
import type { RequestTrail } from './request-trail.js';

/** Runs the pipeline from these values to those outputs; `goesOn`: as the second part of a request, which counts once. */
type Run = (inputs: readonly NamedTensor[], outputs: readonly string[], goesOn?: boolean) => Promise<ComputedAnswer>;

export class SimilarAnswers {
  readonly #layer: SemanticLayer;

  constructor(layer: SemanticLayer) {
    this.#layer = layer;
  }

  /** Rejects as `run`. */
  async answer(
    request: InferRequest,
    model: ServedModel,
    run: Run,
    trail: RequestTrail | undefined,
  ): Promise<ComputedAnswer> {
    const { inputs, outputs } = request;
    const question = questionOf(request, model);
    if (question === undefined || !this.#layer.isOn(question)) return run(inputs, outputs);
    const { embedding: name } = question.options;
    const given = inputs.find((input) => input.name === name);
    const first = given === undefined ? await run(inputs, [name]) : undefined;
    const embedding = given ?? first?.outputs[0];
    const goesOn = first !== undefined;
    if (embedding === undefined || embedding.shape[0] !== 1) return both(first, await run(inputs, outputs, goesOn));
    const hit = this.#layer.get(question, embedding);
    if (hit?.audit === false) return similar(hit, question);
    if (hit !== undefined)
      trail?.note(`computed to audit the answer to a similar input (${distanceText(hit, question)})`);
    // Named, since a request that gives an inner value would get the next graph's own outputs.
    const wanted = outputs.length > 0 ? outputs : model.yaml.outputs.map((output) => output.name);
    const computed = both(first, await run(goesOn ? [...inputs, embedding] : inputs, wanted, goesOn));
    const { queueUs: _queueUs, computeUs: _computeUs, ...answer } = computed;
    this.#layer.put(question, embedding, answer);
    if (hit !== undefined) this.#layer.audited(question, hit.answer, answer);
    return computed;
  }
}

/** One request's answer that was computed in two parts. */
function both(first: ComputedAnswer | undefined, answer: ComputedAnswer): ComputedAnswer {
  if (first === undefined) return answer;
  const queueUs = Math.max(first.queueUs, answer.queueUs);
  return { ...answer, queueUs, computeUs: first.computeUs + answer.computeUs };
}

function questionOf(
  request: InferRequest,
  { yaml, identity, deterministic }: ServedModel,
): SemanticQuestion | undefined {
  const { semantic: options, enabled, ttlMs } = yaml.cache;
  if (options === undefined || !enabled || !deterministic || request.cache !== 'use') return undefined;
  const names = new Set(request.inputs.map(({ name }) => name));
  if (names.size !== yaml.inputs.length || !yaml.inputs.every(({ name }) => names.has(name))) return undefined;
  return {
    labels: { model: request.model, tags: request.cacheTags ?? [] },
    variantDigest: identity.variantDigest,
    outputs: request.outputs,
    parameters: request.parameters,
    options,
    compare: options.compare ?? yaml.outputs[0]?.name ?? '',
    maxAgeMs: Math.min(ttlMs, request.maxStalenessMs ?? Infinity),
  };
}

function similar(hit: SemanticHit, question: SemanticQuestion): ComputedAnswer {
  const { answer, ageMs } = hit;
  const note = `to a similar input (${distanceText(hit, question)})`;
  return { ...answer, queueUs: 0, computeUs: 0, from: { layer: 'semantic', ageMs, note } };
}

function distanceText({ distance }: SemanticHit, { options }: SemanticQuestion): string {
  return `distance ${distance.toPrecision(3)}, threshold ${options.threshold}`;
}
