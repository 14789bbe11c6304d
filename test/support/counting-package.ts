// A package with state, and what asks it: the fixture running-sum.onnx, whose `sum` is all that a sequence has sent so far.
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bytesOf, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';

const GRAPH = fileURLToPath(new URL('../fixtures/onnx/running-sum.onnx', import.meta.url));

/** Writes the package into `folder`; `more` are further lines of model.yaml. Returns `folder`. */
export function writeCountingPackage(folder: string, more = '', name = 'counter'): string {
  mkdirSync(folder, { recursive: true });
  copyFileSync(GRAPH, join(folder, 'sum.onnx'));
  writeFileSync(
    join(folder, 'model.yaml'),
    `name: ${name}
licence: Apache-2.0
inputs: [{ name: x, datatype: FP32, shape: [-1] }, { name: rounds, datatype: INT64, shape: [] }]
outputs: [{ name: sum, datatype: FP32, shape: [1] }]
pipeline: [{ graph: sum.onnx, state: [{ input: total, output: total_next }] }]
${more}`,
  );
  return folder;
}

/** Adds the numbers to a sequence; `rounds` makes the run longer. */
export function countingInputs(numbers: readonly number[], rounds = 1): NamedTensor[] {
  return [
    tensor('x', 'FP32', [numbers.length], bytesOf(Float32Array.from(numbers))),
    tensor('rounds', 'INT64', [], bytesOf(BigInt64Array.of(BigInt(rounds)))),
  ];
}
