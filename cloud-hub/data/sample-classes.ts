// Which labels a model's samples may have: its classes, where the package ends in a classify step. Judged by the newest ready version,
// which is what a training would start from; its package never changes, so it is looked at once. A model without such a step (a
// regression, a text recogniser), or that the hub doesn't have, may be told anything.
import { openPackage } from '@tidegate/shared/package/open-package.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { openPreparation } from '@tidegate/shared/training/prepare-inputs.js';
import type { ModelYaml } from '@tidegate/shared/wire/model-yaml.js';
import type { Catalogue } from '../inference/catalogue.js';
import type { Registry } from '../registry/registry.js';
import { DataError } from './data-error.js';
import { classFinder, findClasses, type ClassNames } from './label-targets.js';

const LIMIT_KNOWN = 64;
/** Names that an error lists. */
const LIMIT_NAMED = 40;

interface SampleClassesModules {
  readonly catalogue: Pick<Catalogue, 'find'>;
  readonly registry: Pick<Registry, 'materialise'>;
}

export class SampleClasses {
  readonly #m: SampleClassesModules;
  readonly #known = new Map<string, Promise<ClassNames>>();

  constructor(modules: SampleClassesModules) {
    this.#m = modules;
  }

  /** Rejects with DataError `invalid` (field `label`) that lists the classes. */
  async check(model: string, label: string): Promise<void> {
    const classes = await this.#of(model);
    if (classes === undefined || classFinder(classes)(label) !== undefined) return;
    throw new DataError('invalid', `label: ${JSON.stringify(label)} is no class of ${model}: ${classText(classes)}`, {
      field: 'label',
    });
  }

  #of(model: string): Promise<ClassNames | undefined> {
    const entry = this.#m.catalogue.find(model, undefined);
    if (entry === undefined || !isClassifier(entry.yaml)) return Promise.resolve(undefined);
    const { variantDigest } = entry.variant;
    const known = this.#known.get(variantDigest);
    if (known !== undefined) return known;
    const classes = this.#m.registry
      .materialise(entry.variant)
      .then((folder) => openPackage(folder, { inspect: inspectGraphFile }))
      .then(async (pack) => findClasses(pack, await openPreparation(pack)));
    if (this.#known.size >= LIMIT_KNOWN) this.#known.clear();
    this.#known.set(variantDigest, classes);
    classes.catch(() => this.#known.delete(variantDigest)); // looked at again the next time
    return classes;
  }
}

/** One graph with a classify step behind it; of several graphs nobody says which one's classes are meant. */
function isClassifier({ pipeline }: ModelYaml): boolean {
  const graphs = pipeline.filter((node) => 'graph' in node);
  return graphs.length === 1 && pipeline.some((node) => 'step' in node && node.step === 'classify');
}

function classText({ names, count }: ClassNames): string {
  if (names === undefined) return count === undefined ? 'a class is a number' : `a number from 0 to ${count - 1}`;
  const listed = names.slice(0, LIMIT_NAMED).join(', ');
  return names.length > LIMIT_NAMED ? `${listed} and ${names.length - LIMIT_NAMED} more` : listed;
}
