// A model of 113 MB for the memory rows, made where it is needed: three dense layers of 3072 x 3072. The weights are a pattern; only
// their size matters.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';

const WIDTH = 3072;
const LAYERS = 3;
const FLOAT = 1;

/** Writes `NAME.onnx`; `layers` times 38 MB. Different `seed`s give different weights, so that nothing is shared between them. */
export function writeLargeModel(folder, name = 'dense', { layers = LAYERS, seed = 1 } = {}) {
  const weights = [];
  const nodes = [];
  for (let layer = 0; layer < layers; layer += 1) {
    const values = Float32Array.from(
      { length: WIDTH * WIDTH },
      (_, i) => (((i * 7919 + layer + seed) % 1009) - 504) / 50_000,
    );
    weights.push(makeTensor(`w${layer}`, FLOAT, [WIDTH, WIDTH], new Uint8Array(values.buffer)));
    nodes.push(makeNode('MatMul', [`x${layer}`, `w${layer}`], [layer === layers - 1 ? 'y' : `x${layer + 1}`]));
  }
  const value = (of) => makeValue(of, FLOAT, [1, WIDTH]);
  const file = join(folder, `${name}.onnx`);
  writeFileSync(file, Buffer.concat(encodeModel(makeModel(makeGraph(nodes, [value('x0')], [value('y')], weights)))));
  const shape = [1, WIDTH];
  return {
    name,
    file,
    input: 'x0',
    shape,
    output: { name: 'y', shape },
    megabytes: (layers * WIDTH * WIDTH * 4) / 2 ** 20,
  };
}
