// Holds feeds against the graph's inputs before an engine sees them: both engines refuse the same requests with the same
// words, and no engine reads past a buffer. Messages name the input.
import { RuntimeError } from '../runtime-error.js';
import { decodeBytes } from '../../tensor/bytes.js';
import { elementCount, shapeMatches, sizeBytes, type NamedTensor, type TensorSpec } from '../../tensor/tensor.js';

const refuse = (message: string): never => {
  throw new RuntimeError('invalid-input', message);
};
const shapeText = (shape: readonly number[]): string => `[${shape.join(',')}]`;

/** The feeds in the order of `inputs`. Throws RuntimeError `invalid-input`. */
export function orderedFeeds(inputs: readonly TensorSpec[], feeds: readonly NamedTensor[]): NamedTensor[] {
  const byName = new Map<string, NamedTensor>();
  for (const feed of feeds) {
    if (byName.has(feed.name)) refuse(`input "${feed.name}" is given twice`);
    byName.set(feed.name, feed);
  }
  const ordered = inputs.map((spec) => {
    const feed = byName.get(spec.name) ?? refuse(`input "${spec.name}" is missing`);
    checkFeed(spec, feed);
    byName.delete(spec.name);
    return feed;
  });
  for (const name of byName.keys()) {
    refuse(`input "${name}" is not an input of the model, which has ${inputs.map((i) => `"${i.name}"`).join(', ')}`);
  }
  return ordered;
}

/** The wanted outputs' indices in the graph's order of outputs; all for none. Throws RuntimeError `invalid-input`. */
export function wantedOutputs(outputs: readonly TensorSpec[], names: readonly string[]): number[] {
  if (names.length === 0) return outputs.map((_, i) => i);
  return names.map((name, i) => {
    const index = outputs.findIndex((spec) => spec.name === name);
    if (index < 0) {
      refuse(
        `output "${name}" is not an output of the model, which has ${outputs.map((o) => `"${o.name}"`).join(', ')}`,
      );
    }
    if (names.indexOf(name) !== i) refuse(`output "${name}" is asked for twice`);
    return index;
  });
}

function checkFeed(spec: TensorSpec, feed: NamedTensor): void {
  const { name, datatype, shape, data } = feed;
  if (datatype !== spec.datatype) refuse(`input "${name}" is ${datatype}, the model takes ${spec.datatype}`);
  const count = elementCount(shape) ?? refuse(`input "${name}" has the impossible shape ${shapeText(shape)}`);
  if (!shapeMatches(spec.shape, shape)) {
    refuse(`input "${name}" has the shape ${shapeText(shape)}, the model takes ${shapeText(spec.shape)}`);
  }
  if (datatype === 'BYTES') {
    const elements = decodeBytes(data) ?? refuse(`input "${name}" has an element that runs past its data`);
    if (elements.length !== count) {
      refuse(`input "${name}" of shape ${shapeText(shape)} has ${elements.length} elements instead of ${count}`);
    }
    return;
  }
  const expected = sizeBytes(datatype, shape);
  if (data.byteLength !== expected) {
    refuse(`input "${name}" of shape ${shapeText(shape)} has ${data.byteLength} bytes instead of ${expected}`);
  }
}
