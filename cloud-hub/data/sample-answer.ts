// The device's answer of a sample as one text, for people and for queries: the output that the version's goldens compare, else the
// first BYTES output. Which one that is stands in the version's model.yaml, which never changes, so it is read once.
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import { readModelYaml } from '@tidegate/shared/package/read-model-yaml.js';
import { decodeBytes } from '@tidegate/shared/tensor/bytes.js';
import type { Tensor } from '@tidegate/shared/tensor/tensor.js';
import type { ModelYaml } from '@tidegate/shared/wire/model-yaml.js';
import { manifestOf, versionRow } from '../registry/version-rows.js';
import type { Database } from '../storage/database.js';

const LIMIT_KNOWN = 256;
/** Characters of an answer that are kept. */
const LIMIT_ANSWER = 1000;

/** The output whose text is the answer; undefined where the package names none. */
export function answerOutput({ goldens, outputs }: Pick<ModelYaml, 'goldens' | 'outputs'>): string | undefined {
  return goldens?.output ?? outputs.find(({ datatype }) => datatype === 'BYTES')?.name;
}

/** The first element of a BYTES tensor as text; undefined for other datatypes and where it has none. */
export function answerText(output: Tensor | undefined): string | undefined {
  if (output?.datatype !== 'BYTES') return undefined;
  const first = decodeBytes(output.data)?.[0];
  return first === undefined ? undefined : Buffer.from(first).toString('utf8').slice(0, LIMIT_ANSWER);
}

export class AnswerOutputs {
  readonly #modules: { readonly db: Database; readonly content: Pick<ContentStore, 'read'> };
  readonly #known = new Map<string, string | undefined>();

  constructor(modules: { readonly db: Database; readonly content: Pick<ContentStore, 'read'> }) {
    this.#modules = modules;
  }

  /** Rejects where the package's model.yaml can't be read any more. */
  async outputOf(model: string, version: number): Promise<string | undefined> {
    const key = `${model}@${version}`;
    if (this.#known.has(key)) return this.#known.get(key);
    const row = await versionRow(this.#modules.db, model, version);
    const file = row && manifestOf(row).files.find(({ path }) => path === 'model.yaml');
    if (file === undefined) return undefined;
    const text = new TextDecoder().decode(await this.#modules.content.read(file.digest));
    const name = answerOutput(readModelYaml(text));
    if (this.#known.size >= LIMIT_KNOWN) this.#known.clear();
    this.#known.set(key, name);
    return name;
  }
}
