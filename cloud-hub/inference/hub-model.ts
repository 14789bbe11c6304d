// A version that the hub may answer with. It is opened when it is first let into memory, and keeps from then on, in memory or
// not, what is known of it: measured times, crashes, where its sequences stand.
import type { Parkable } from '@tidegate/shared/residency/resident.js';
import type { ModelAnswer, ServedModel } from '@tidegate/shared/serving/served-model.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';

/** What a version is once it is loaded; ServedModel is one. */
export type LoadedModel = Parkable & Pick<ServedModel, 'infer' | 'deterministic' | 'threads'>;

/** Until the first load was measured. */
const FIRST_LOAD_MS = 1000;

export class HubModel implements Parkable {
  /** `MODEL@VERSION`. */
  readonly name: string;
  readonly #load: (signal: AbortSignal) => Promise<LoadedModel>;
  #loading: Promise<LoadedModel> | undefined;
  #loaded: LoadedModel | undefined;
  #failure: ServingError | undefined;

  constructor(name: string, load: (signal: AbortSignal) => Promise<LoadedModel>) {
    this.name = name;
    this.#load = load;
  }

  get pids(): readonly number[] {
    return this.#loaded?.pids ?? [];
  }

  memoryShareOf(pid: number): number {
    return this.#loaded?.memoryShareOf(pid) ?? 1;
  }

  get loadMs(): number {
    return this.#loaded?.loadMs ?? FIRST_LOAD_MS;
  }

  get holdsState(): boolean {
    return this.#loaded?.holdsState ?? false;
  }

  get stateEndsMs(): number | undefined {
    return this.#loaded?.stateEndsMs;
  }

  /** Do equal questions get equal answers? Undefined until it was loaded once. */
  get deterministic(): boolean | undefined {
    return this.#loaded?.deterministic;
  }

  /** Of one run. */
  get threads(): number {
    return this.#loaded?.threads ?? 1;
  }

  /** It could not be opened: another one may be tried. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  get quarantine(): unknown {
    return this.#failure ?? this.#loaded?.quarantine;
  }

  async park(): Promise<void> {
    await this.#loaded?.park();
  }

  async wake(signal: AbortSignal): Promise<void> {
    if (this.#loaded !== undefined) return this.#loaded.wake(signal);
    try {
      this.#loading = this.#load(signal);
      this.#loaded = await this.#loading;
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      this.#failure = new ServingError('failed', `${this.name} could not be loaded: ${reason}`, { cause });
      throw this.#failure;
    }
  }

  /** Rejects as ServedModel.infer, and with `failed` and the reason where it could not be opened. */
  async infer(...asked: Parameters<ServedModel['infer']>): Promise<ModelAnswer> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#loaded === undefined) throw new ServingError('not-ready', `${this.name} is not loaded`);
    return this.#loaded.infer(...asked);
  }

  async close(): Promise<void> {
    const loaded = await this.#loading?.catch(() => undefined); // said to whoever asked for it
    await loaded?.close();
  }
}
