// Who is looked after and who of them is in memory, with what all use as last measured: what the policy (residency-policy.ts) is asked
// about. Nothing is moved here.
import type { Clock } from '../system/clock.js';
import { MeasuredMemory, type MemorySource } from './measured-memory.js';
import { decideRoom, decideShrink, type Memory, type Occupant } from './residency-policy.js';
import type { Resident } from './resident.js';

export interface MemoryLimits {
  /** Of server and executors together; undefined = no budget. */
  readonly limitBytes: number | undefined;
  /** Models in memory at once; absent = any number. */
  readonly modelsMax?: number | undefined;
}

export type RoomDecision = ReturnType<typeof decideRoom<Occupant & { resident: Resident }>>;
type ShrinkDecision = ReturnType<typeof decideShrink<Occupant & { resident: Resident }>>;

export class InMemory {
  readonly #known = new Set<Resident>();
  readonly #limits: MemoryLimits;
  readonly #clock: Clock;
  readonly #measured: MeasuredMemory;

  constructor(limits: MemoryLimits, modules: MemorySource & { readonly clock: Clock }) {
    this.#limits = limits;
    this.#clock = modules.clock;
    this.#measured = new MeasuredMemory(modules);
  }

  /** Also those that are on demand. */
  get known(): Iterable<Resident> {
    return this.#known;
  }

  /** Bytes used beside the models, as last measured. */
  get ownBytes(): number {
    return this.#measured.ownBytes;
  }

  has(resident: Resident): boolean {
    return this.#known.has(resident);
  }

  add(resident: Resident): void {
    this.#known.add(resident);
  }

  delete(resident: Resident): void {
    this.#known.delete(resident);
  }

  /** In memory, or on the way in or out. */
  residents(): Resident[] {
    return [...this.#known].filter(({ state }) => state !== 'on demand');
  }

  /** Measures anew. */
  read(): Promise<void> {
    return this.#measured.read(() => this.residents());
  }

  /** May it come in, and who leaves for it? */
  decideRoom(resident: Resident, urgent: boolean): RoomDecision {
    const others = this.#staying().filter((other) => other.resident !== resident);
    return decideRoom(resident.asWanted(urgent), others, this.#memory(), this.#clock.monotonicMs());
  }

  /** Who leaves since more is used than may be? */
  decideShrink(): ShrinkDecision {
    return decideShrink(this.#staying(), this.#memory(), this.#clock.monotonicMs());
  }

  #staying(): (Occupant & { resident: Resident })[] {
    return this.residents()
      .filter(({ state }) => state !== 'leaving')
      .map((resident) => resident.asOccupant());
  }

  #memory(): Memory {
    const { limitBytes = Infinity, modelsMax = Infinity } = this.#limits;
    return { limitBytes, modelsMax, ownBytes: this.#measured.ownBytes };
  }
}
