// The versions that the hub was asked for: in memory or on demand, as the memory budget and the number of places allow
// (shared/residency/). A version's package may say how long it stays without a request; what it says of pinning and of times of
// the day is for devices, whose models they know.
import { estimatedBytes } from '@tidegate/shared/residency/memory-budget.js';
import type { Residency } from '@tidegate/shared/residency/residency.js';
import type { InferRequest } from '@tidegate/shared/serving/inference-service.js';
import { choiceText, type ChoiceFacts } from '@tidegate/shared/serving/choice-facts.js';
import { traceRun } from '@tidegate/shared/serving/request-trace.js';
import type { RunFacts } from '@tidegate/shared/serving/evaluate-request.js';
import type { ModelAnswer } from '@tidegate/shared/serving/served-model.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import type { CatalogueEntry } from './catalogue.js';
import { HubModel, type LoadedModel } from './hub-model.js';

/** Versions. */
const KNOWN_MAX = 256;

interface KnownModelsOptions {
  /** For packages that don't say: how long a version stays in memory without a request; undefined = until its place is needed. */
  readonly keepAliveMs: number | undefined;
  /** Beyond so many, one that is on demand, the unused for longest, is forgotten; asked again, it is opened anew. */
  readonly knownMax?: number;
}

interface KnownModelsModules {
  readonly residency: Residency;
  readonly load: (entry: CatalogueEntry, signal: AbortSignal) => Promise<LoadedModel>;
}

/** A version that is in memory. */
export interface InMemory {
  readonly model: string;
  readonly version: number;
  /** As last measured. */
  readonly bytes: number;
  /** Of one run. */
  readonly threads: number;
}

interface Known {
  readonly entry: CatalogueEntry;
  readonly model: HubModel;
}

export class KnownModels {
  readonly #options: KnownModelsOptions;
  readonly #modules: KnownModelsModules;
  /** The one asked for last stands last. */
  readonly #known = new Map<Digest, Known>();

  constructor(options: KnownModelsOptions, modules: KnownModelsModules) {
    this.#options = options;
    this.#modules = modules;
  }

  /**
   * Answers, loading the version first where it isn't in memory. Rejects as Residency.hold and ServedModel.infer, and with
   * `failed` where it can't be loaded; the next request tries again.
   */
  async infer(entry: CatalogueEntry, request: InferRequest, signal: AbortSignal): Promise<ModelAnswer> {
    const { deadlineMs } = request;
    const span = request.trace?.span;
    const told = span && {
      onRun: (run: RunFacts) => traceRun(span, run),
      onChoice: (choice: ChoiceFacts) => span.event(choiceText(choice)),
    };
    const work = told === undefined ? request : { ...request, ...told };
    const model = this.#of(entry);
    const lease = this.#modules.residency.hold(model, { deadlineMs }, signal);
    const loading = typeof lease === 'function' ? undefined : span?.child('load');
    const release = await Promise.resolve(lease).finally(() => loading?.end());
    try {
      return await model.infer(work, signal);
    } finally {
      release();
    }
  }

  /** Do equal questions get equal answers? Undefined until the version was loaded once. */
  isDeterministic({ variant }: CatalogueEntry): boolean | undefined {
    return this.#known.get(variant.variantDigest)?.model.deterministic;
  }

  isInMemory({ variant }: CatalogueEntry): boolean {
    const known = this.#known.get(variant.variantDigest);
    const report = known && this.#modules.residency.reportOf(known.model);
    return report !== undefined && report.state !== 'on demand';
  }

  get memory(): Residency['report'] {
    return this.#modules.residency.report;
  }

  inMemory(): readonly InMemory[] {
    return [...this.#known.values()].flatMap(({ entry, model }) => {
      const report = this.#modules.residency.reportOf(model);
      const { model: name, version } = entry.variant;
      return report === undefined || report.state === 'on demand'
        ? []
        : [{ model: name, version, bytes: report.bytes, threads: model.threads }];
    });
  }

  async closeAll(): Promise<void> {
    this.#modules.residency.close();
    await Promise.all([...this.#known].map(([digest, { model }]) => this.#forget(digest, model)));
  }

  #of(entry: CatalogueEntry): HubModel {
    const { variantDigest } = entry.variant;
    const known = this.#known.get(variantDigest);
    if (known !== undefined && !known.model.failed) {
      this.#known.delete(variantDigest);
      this.#known.set(variantDigest, known);
      return known.model;
    }
    if (known !== undefined) void this.#forget(variantDigest, known.model);
    else this.#makeRoom();
    return this.#add(entry);
  }

  #add(entry: CatalogueEntry): HubModel {
    const { residency, load } = this.#modules;
    const { variant, yaml } = entry;
    const model = new HubModel(`${variant.model}@${variant.version}`, (signal) => load(entry, signal));
    const keepAliveMs = yaml.memory.keepAliveMs ?? this.#options.keepAliveMs;
    residency.know(model.name, model, {
      bytes: estimatedBytes(yaml, variant.manifest.files),
      rules: { keepAliveMs, pinned: () => false },
    });
    this.#known.set(variant.variantDigest, { entry, model });
    return model;
  }

  #makeRoom(): void {
    if (this.#known.size < (this.#options.knownMax ?? KNOWN_MAX)) return;
    for (const [digest, { model }] of this.#known) {
      if (this.#modules.residency.reportOf(model)?.state !== 'on demand') continue;
      void this.#forget(digest, model);
      return;
    }
  }

  #forget(digest: Digest, model: HubModel): Promise<void> {
    this.#known.delete(digest);
    this.#modules.residency.forget(model);
    return model.close();
  }
}
