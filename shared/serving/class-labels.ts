// The class names that a package gives: what its `classify` steps read, under the name of the value that they read it from.
// They label the answers of the classification extension.
import type { StepAssets } from '../steps/step.js';
import { readLines } from '../steps/read-lines.js';
import type { ModelYaml } from '../wire/model-yaml.js';

const STEP = 'classify';

/** By value. Rejects with StepError where a labels file can't be read. */
export async function classLabels(
  yaml: Pick<ModelYaml, 'pipeline'>,
  assets: StepAssets,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const labels = new Map<string, readonly string[]>();
  for (const node of yaml.pipeline) {
    if (!('step' in node) || node.step !== STEP) continue;
    const [value] = node.inputs;
    const given = node.with['labels'];
    if (value === undefined || given === undefined) continue;
    if (Array.isArray(given)) labels.set(value, given.map(String));
    else if (typeof given === 'string') labels.set(value, await readLines(STEP, 'labels', given, assets));
  }
  return labels;
}
