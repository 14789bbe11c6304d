// A sample's label as the loss takes it. Cross-entropy takes a class: the place of the label among the names that the package's
// classify step gives its classes, or the number itself where it gives none; mean squared error takes one number or several. All
// labels are looked at before training begins, so that a wrong one doesn't end a job half way.
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import { readLines } from '@tidegate/shared/steps/read-lines.js';
import type { InputPreparation } from '@tidegate/shared/training/prepare-inputs.js';
import { bytesOf, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { z } from 'zod';
import { DataError } from './data-error.js';

export interface ClassNames {
  /** In the order of the scores; undefined where classes are called by their numbers. */
  readonly names: readonly string[] | undefined;
  /** How many classes there are, where the package or the graph says it. */
  readonly count: number | undefined;
  /** The graph's output that holds the scores, where the package tells which of several. */
  readonly output: string | undefined;
}

const labelsSchema = z.object({ labels: z.union([z.string(), z.array(z.string())]).optional() });

/** From the classify step behind the graph, else from the width of its only output. Rejects with StepError for an unreadable file. */
export async function findClasses(pack: ModelPackage, preparation: InputPreparation): Promise<ClassNames> {
  const classify = pack.yaml.pipeline.flatMap((node) => {
    if (!('step' in node) || node.step !== 'classify') return [];
    const scores = preparation.outputs.find(({ value }) => value === node.inputs[0]);
    return scores === undefined ? [] : [{ parameters: node.with, scores }];
  })[0];
  const [only] = preparation.outputs.length === 1 ? preparation.outputs : [];
  const scores = classify?.scores ?? only;
  const width = scores?.spec.shape.length === 2 ? scores.spec.shape[1] : undefined;
  const { labels } = labelsSchema.parse(classify?.parameters ?? {});
  const names = typeof labels === 'string' ? await readLines('classify', 'labels', labels, pack) : labels;
  return {
    names,
    count: names?.length ?? (width !== undefined && width > 0 ? width : undefined),
    output: scores?.port,
  };
}

/** Turns labels into numbers: a class, or the values of a regression. */
type ReadLabel = (label: string, sampleId: string) => readonly number[];

const CLASS_NUMBER = /^(?:0|[1-9][0-9]{0,8})$/;

/** The class that a label means; undefined for one that is none. */
export function classFinder({ names, count }: ClassNames): (label: string) => number | undefined {
  if (names !== undefined) {
    const indexes = new Map(names.map((name, at) => [name, at]));
    return (label) => indexes.get(label);
  }
  return (label) => {
    const at = CLASS_NUMBER.test(label) ? Number(label) : undefined;
    return at === undefined || (count !== undefined && at >= count) ? undefined : at;
  };
}

/** Throws DataError `invalid` (field `label`) that names the sample. */
export function classReader(classes: ClassNames): ReadLabel {
  const find = classFinder(classes);
  return (label, sampleId) => {
    const at = find(label);
    if (at !== undefined) return [at];
    throw wrongLabel(sampleId, whyNoClass(label, classes));
  };
}

function whyNoClass(label: string, { names, count }: ClassNames): string {
  if (names !== undefined) return `'${label}' is none of the model's ${names.length} classes`;
  return CLASS_NUMBER.test(label) ? `${label} is past the model's ${count} classes` : `'${label}' is no class's number`;
}

/** One number, or several with commas between, as many in each label as in the first. Throws as classReader. */
export function numberReader(): ReadLabel {
  let width: number | undefined;
  return (label, sampleId) => {
    const values = label.split(',').map((text) => {
      const value = text.trim() === '' ? Number.NaN : Number(text);
      if (!Number.isFinite(value)) throw wrongLabel(sampleId, `'${label}' is no number`);
      return value;
    });
    width ??= values.length;
    if (values.length === width) return values;
    throw wrongLabel(sampleId, `has ${values.length} numbers, where the first has ${width}`);
  };
}

/** Classes as INT64 [N]; numbers as FP32 [N, K]. `targets`: each of K numbers, as one ReadLabel has read them. */
export function stackLabels(loss: 'cross-entropy' | 'mse', targets: readonly (readonly number[])[]): NamedTensor {
  const name = 'labels';
  const count = targets.length;
  if (loss === 'cross-entropy') {
    const data = BigInt64Array.from(targets, ([at]) => BigInt(at ?? 0));
    return { name, datatype: 'INT64', shape: [count], data: bytesOf(data) };
  }
  const width = targets[0]?.length ?? 0;
  return { name, datatype: 'FP32', shape: [count, width], data: bytesOf(Float32Array.from(targets.flat())) };
}

function wrongLabel(sampleId: string, reason: string): DataError {
  return new DataError('invalid', `sample ${sampleId}: its label ${reason}`, { field: 'label' });
}
