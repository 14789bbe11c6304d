// ModelSlots in memory: remembers what was loaded, closed and active, and fails or hangs where a test says so. A "model" is
// its variant digest; loading reads the package's first file, so a package that isn't there can't be loaded.
import { readdirSync } from 'node:fs';
import type { GoldenOutcome, ModelSlots, ModelSource, PreparedModel } from '@tidegate/edge-agent/engine/model-slots.js';
import type { ProviderInUse } from '@tidegate/shared/serving/provider-in-use.js';

const CPU: ProviderInUse = { asked: ['cpu'], tried: [], runs: 'cpu', reason: 'asked for', cpuNodesRatio: 1 };

export class FakePrepared implements PreparedModel {
  readonly source: ModelSource;
  readonly provider = CPU;
  threads?: { readonly threads: number };
  executorDeaths = 0;
  closed = false;
  readonly #slots: FakeSlots;

  constructor(source: ModelSource, slots: FakeSlots) {
    this.source = source;
    this.#slots = slots;
  }

  /** Waits at each tenth for as long as a test holds it there. */
  async warmUp(_signal: AbortSignal, onProgress?: (share: number) => void): Promise<void> {
    const compile = this.#slots.compile.get(this.source.variantDigest);
    if (compile === undefined) return;
    for (let tenth = 1; tenth <= 10; tenth++) {
      await compile(tenth / 10);
      onProgress?.(tenth / 10);
    }
  }

  async selfTest(): Promise<GoldenOutcome> {
    const passed = !this.#slots.failSelfTest.has(this.source.variantDigest);
    return { passed, score: passed ? 1 : 0.25, threshold: 0.9, count: 4 };
  }

  async close(): Promise<void> {
    this.closed = true;
    this.#slots.open.delete(this);
  }
}

export class FakeSlots implements ModelSlots {
  /** Variant digests that can't be loaded, that fail their goldens, that never finish loading. */
  readonly failLoad = new Set<string>();
  readonly failSelfTest = new Set<string>();
  readonly hangLoad = new Set<string>();
  /** Variant digests whose loading says that it compiles: awaited meanwhile. */
  readonly compileAtLoad = new Map<string, () => Promise<void>>();
  /** Variant digests that compile at their first run: awaited before each tenth of it. */
  readonly compile = new Map<string, (share: number) => Promise<void>>();
  /** Loaded and not closed. */
  readonly open = new Set<FakePrepared>();
  /** Variant digests in the order in which they became active; '' when a model was taken out of service. */
  readonly history: string[] = [];
  readonly #active = new Map<string, FakePrepared>();

  async prepare(
    source: ModelSource,
    signal: AbortSignal,
    onLoading?: (share: number, doing: string) => void,
  ): Promise<FakePrepared> {
    const compile = this.compileAtLoad.get(source.variantDigest);
    if (compile !== undefined) {
      onLoading?.(0.5, 'compiling b.onnx, 2 of 2 graphs');
      await compile();
    }
    if (this.hangLoad.has(source.variantDigest)) await new Promise(() => undefined);
    signal.throwIfAborted();
    if (this.failLoad.has(source.variantDigest)) throw new Error('the graph is broken');
    if (readdirSync(source.path).length === 0) throw new Error('the package is empty');
    const prepared = new FakePrepared(source, this);
    this.open.add(prepared);
    return prepared;
  }

  activate(prepared: PreparedModel): FakePrepared | undefined {
    if (!(prepared instanceof FakePrepared) || prepared.closed) throw new TypeError('not a prepared model');
    const { name, variantDigest } = prepared.source;
    const before = this.#active.get(name);
    this.#active.set(name, prepared);
    this.history.push(variantDigest);
    return before === prepared ? undefined : before;
  }

  async remove(name: string): Promise<void> {
    const active = this.#active.get(name);
    this.#active.delete(name);
    this.history.push('');
    await active?.close();
  }

  active(name: string): FakePrepared | undefined {
    return this.#active.get(name);
  }

  names(): readonly string[] {
    return [...this.#active.keys()].sort();
  }
}
