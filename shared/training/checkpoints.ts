// Checkpoints of one training job in a folder: everything that is carried (weights, what the optimizer keeps, accumulators), and in the
// metadata how many updates are in it and what job it is of. Data order and rate follow from those. Written beside, flushed and renamed,
// so a kill at any moment leaves the one before; two are kept, so that one that doesn't read back has one behind it.
import { join } from 'node:path';
import type { Files } from '../system/files.js';
import type { Log } from '../system/log.js';
import type { NamedTensor } from '../tensor/tensor.js';
import { decodeSafetensors, encodeSafetensors } from './safetensors.js';

const KEPT = 2;
const FORMAT = '1';
const NAME = /^step-(\d{1,12})\.safetensors$/;

interface Checkpoint {
  /** Updates that are in it. */
  readonly doneSteps: number;
  readonly tensors: readonly NamedTensor[];
}

export class Checkpoints {
  readonly #folder: string;
  /** Digest of what makes two jobs the same: graph, data, parameters, threads. Another job's checkpoint is none of ours. */
  readonly #jobDigest: string;
  readonly #modules: { readonly files: Files; readonly log: Log };

  constructor(options: { folder: string; jobDigest: string }, modules: { files: Files; log: Log }) {
    this.#folder = options.folder;
    this.#jobDigest = options.jobDigest;
    this.#modules = modules;
  }

  async save({ doneSteps, tensors }: Checkpoint): Promise<void> {
    const metadata = { format: FORMAT, doneSteps: String(doneSteps), jobDigest: this.#jobDigest };
    const { files } = this.#modules;
    await files.writeAtomic('checkpoint.write', this.#path(doneSteps), encodeSafetensors(tensors, metadata));
    for (const old of (await this.#numbers()).slice(KEPT)) await files.remove('checkpoint.remove', this.#path(old));
  }

  /** The newest that reads back and is of this job; undefined where there is none. One that doesn't is logged and passed over. */
  async newest(): Promise<Checkpoint | undefined> {
    const { files, log } = this.#modules;
    for (const number of await this.#numbers()) {
      try {
        const { tensors, metadata } = decodeSafetensors(await files.read('checkpoint.read', this.#path(number)));
        const reason = this.#refusal(metadata, number);
        if (reason === undefined) return { doneSteps: number, tensors };
        log.warn({ step: number, reason }, 'a checkpoint is not used');
      } catch (cause) {
        log.warn({ step: number, reason: (cause as Error).message }, 'a checkpoint is not used');
      }
    }
    return undefined;
  }

  #refusal(metadata: Readonly<Record<string, string>>, number: number): string | undefined {
    if (metadata['format'] !== FORMAT) return `its format is ${metadata['format']}`;
    if (metadata['jobDigest'] !== this.#jobDigest) return 'it is of another job';
    return metadata['doneSteps'] === String(number) ? undefined : 'its name and its content differ';
  }

  async #numbers(): Promise<number[]> {
    return checkpointSteps(await this.#modules.files.list('checkpoint.list', this.#folder));
  }

  #path(number: number): string {
    return join(this.#folder, `step-${number}.safetensors`);
  }
}

/** Updates in each of the checkpoints among the names in their folder, the newest first. */
export function checkpointSteps(names: readonly string[]): number[] {
  return names
    .flatMap((name) => NAME.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => b - a);
}
