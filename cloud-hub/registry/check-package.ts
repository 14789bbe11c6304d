// What a package has to pass before it becomes a version that devices may get: its model.yaml, the structure of its graphs, loading in
// executors, its goldens on the unoptimised model, and that requests may be padded where it says so. Faults of the package are PackageRefused, with the reason for whoever
// published it; all else is the hub's own and is tried again by the pipeline.
import { openPackage } from '@tidegate/shared/package/open-package.js';
import { PackageError } from '@tidegate/shared/package/package-error.js';
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import { RuntimeError } from '@tidegate/shared/runtime/runtime-error.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { StepError } from '@tidegate/shared/steps/step.js';
import { checkStructure } from './check-structure.js';
import { PackageRefused, type LoadPackage, type PackageChecker } from './package-ports.js';

export class CheckPackage implements PackageChecker {
  readonly #load: LoadPackage;

  constructor(load: LoadPackage) {
    this.#load = load;
  }

  async check(folder: string, signal: AbortSignal): Promise<void> {
    try {
      const pack = await openPackage(folder, { inspect: noBareGraphs });
      await checkStructure(pack);
      await this.#run(pack, signal);
    } catch (cause) {
      signal.throwIfAborted();
      throw asRefusal(cause);
    }
  }

  async #run(pack: ModelPackage, signal: AbortSignal): Promise<void> {
    const loaded = await this.#load(pack, signal);
    try {
      const result = await loaded.runGoldens(signal);
      if (result.passed) {
        const unproven = await loaded.provePadding(signal);
        if (unproven === undefined) return;
        throw new PackageRefused(unproven.reason, { field: `model.yaml#${unproven.field}` });
      }
      const { metric, output } = pack.yaml.goldens ?? { metric: 'exact', output: '' };
      const message = `the goldens fail on the unoptimised model: ${metric} of ${output} is ${round(result.score)} over ${result.count} goldens, ${result.threshold} is needed`;
      throw new PackageRefused(message, { field: 'model.yaml#goldens.threshold' });
    } finally {
      await loaded.close();
    }
  }
}

/** A version always has a model.yaml: publishing asked for it. */
function noBareGraphs(): never {
  throw new PackageRefused('the package has no model.yaml', { field: 'model.yaml' });
}

function asRefusal(cause: unknown): unknown {
  if (cause instanceof PackageError) {
    const { file, field } = cause.place;
    return new PackageRefused(cause.message, { cause, field: [file, field].filter((part) => part).join('#') });
  }
  if (cause instanceof StepError) return new PackageRefused(cause.message, { cause, field: `step ${cause.step}` });
  // `executor-died` and `executor-hung`: the executor had a second one to try; a model that kills both is no model to ship.
  if (cause instanceof RuntimeError && cause.code !== 'closed' && cause.code !== 'cancelled') {
    return new PackageRefused(cause.message, { cause });
  }
  if (cause instanceof ServingError && cause.code !== 'cancelled' && cause.code !== 'not-ready') {
    return new PackageRefused(cause.message, { cause, ...(cause.field === undefined ? {} : { field: cause.field }) });
  }
  return cause;
}

const round = (value: number): string => String(Math.round(value * 10_000) / 10_000);
