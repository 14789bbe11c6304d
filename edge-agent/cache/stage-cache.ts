// Outputs of a pipeline's stages, kept where model.yaml names the graph under `cache.stages`: a new version that changed only
// its last graph finds what the detector made of a picture that was asked about before. They lie in the memory layer, under its
// limit, and are dropped with the model and the tags that they were made for; model and tags are in the key, so that a drop
// takes all of it. A stage whose lookups cost more than they save is left alone for a while, as the cache does with answers.
import type { KeptStages, StageLook, StageQuestion } from '@tidegate/shared/serving/kept-stages.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { CacheLabels } from '@tidegate/shared/cache/cache-layer.js';
import { cacheKey } from '@tidegate/shared/cache/cache-key.js';
import type { MemoryLayer } from '@tidegate/shared/cache/memory-layer.js';
import { SelfBypass } from '@tidegate/shared/cache/self-bypass.js';

interface StageCounts {
  readonly model: string;
  readonly graph: string;
  readonly hits: number;
  readonly misses: number;
  /** Looking up cost more than it saved: it stands aside for a while. */
  readonly aside: boolean;
}

interface StageUse {
  /** Older ones are not taken; 0 = none is looked for, and what is made replaces what is there. */
  readonly maxAgeMs: number;
  /** Hears which graph was spared its run. */
  readonly onHit: (graph: string) => void;
}

/** Beyond it stages are kept and not counted. */
const LIMIT_STAGES = 256;

export class StageCache {
  readonly #memory: MemoryLayer;
  readonly #clock: Clock;
  readonly #bypass = new SelfBypass();
  readonly #counts = new Map<string, { model: string; graph: string; hits: number; misses: number }>();

  constructor(modules: { readonly memory: MemoryLayer; readonly clock: Clock }) {
    this.#memory = modules.memory;
    this.#clock = modules.clock;
  }

  /** The stages of one request. */
  of(labels: CacheLabels, use: StageUse): KeptStages {
    const drops = this.#memory.drops;
    return { look: (question) => this.#look(question, labels, use, drops) };
  }

  get counts(): readonly StageCounts[] {
    return [...this.#counts].map(([stage, counts]) => ({ ...counts, aside: this.#bypass.isAside(stage) }));
  }

  #look(question: StageQuestion, labels: CacheLabels, use: StageUse, drops: number): StageLook | undefined {
    const { graph, identity, feeds: inputs, outputs } = question;
    const stage = `${labels.model} ${graph}`;
    if (use.maxAgeMs > 0 && this.#bypass.stepsAside(stage)) return undefined;
    const startedMs = this.#clock.monotonicMs();
    const parameters = { model: labels.model };
    const key = cacheKey({
      variantDigest: identity,
      answeredBy: 'edge',
      inputs,
      outputs,
      parameters,
      tags: labels.tags,
    });
    const found = use.maxAgeMs > 0 ? this.#memory.getStage(key, use.maxAgeMs) : undefined;
    this.#bypass.looked(stage, this.#clock.monotonicMs() - startedMs, found !== undefined);
    this.#count(labels.model, graph, found !== undefined);
    if (found !== undefined) use.onHit(graph);
    return {
      outputs: found,
      keep: (made, computeUs) => {
        this.#bypass.computed(stage, computeUs / 1000, false);
        if (this.#memory.drops === drops) this.#memory.putStage(key, made, labels);
      },
    };
  }

  #count(model: string, graph: string, hit: boolean): void {
    const stage = `${model} ${graph}`;
    let counts = this.#counts.get(stage);
    if (counts === undefined) {
      if (this.#counts.size >= LIMIT_STAGES) return;
      this.#counts.set(stage, (counts = { model, graph, hits: 0, misses: 0 }));
    }
    counts[hit ? 'hits' : 'misses'] += 1;
  }
}
