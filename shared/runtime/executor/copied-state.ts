// A sequence's state for an engine that can't keep tensors of its own (engine.ts, `persistentTensors`): plain copies in this
// process, fed and fetched with every run. Invariant: they are replaced when the run has succeeded, all or none. So
// outputs, which come with them, are not put elsewhere.
import { wantedOutputs } from './feed-check.js';
import type { CarriedState, EngineSession, EngineState } from '../engine.js';
import type { NamedTensor } from '../../tensor/tensor.js';

export class CopiedState implements Pick<EngineState, 'run' | 'close'> {
  readonly #session: Pick<EngineSession, 'outputs' | 'run'>;
  readonly #carried: CarriedState['carried'];
  #values: readonly NamedTensor[];

  constructor(
    session: Pick<EngineSession, 'outputs' | 'run'>,
    initial: CarriedState['initial'],
    carried: CarriedState['carried'],
  ) {
    this.#session = session;
    this.#carried = carried;
    this.#values = initial;
  }

  async run(feeds: readonly NamedTensor[], outputs: readonly string[], signal: AbortSignal): Promise<NamedTensor[]> {
    const free = this.#session.outputs.filter(({ name }) => !this.#carried.has(name));
    const wanted = wantedOutputs(free, outputs).map((index) => free[index]?.name ?? '');
    const made = await this.#session.run([...this.#values, ...feeds], [...this.#carried.keys(), ...wanted], signal);
    const count = this.#carried.size;
    this.#values = [...this.#carried.values()].map((name, i) => ({ ...(made[i] as NamedTensor), name }));
    return made.slice(count);
  }

  close(): Promise<void> {
    this.#values = [];
    return Promise.resolve();
  }
}
