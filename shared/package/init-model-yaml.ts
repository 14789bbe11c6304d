// The text of a first model.yaml for a bare .onnx file (`tidegate model init FILE`): what the graph says, and comments
// where its author has to say something.
import { stringify } from 'yaml';
import { deriveModelYaml } from './derive-model-yaml.js';
import type { GraphSignature } from './model-package.js';

/** Throws PackageError `invalid-model` for a graph that can't be described. The text reads back with readModelYaml. */
export function initModelYaml(name: string, graphFile: string, signature: GraphSignature): string {
  const yaml = deriveModelYaml(name, graphFile, signature);
  const specs = (list: typeof yaml.inputs): string =>
    stringify(list, { flowCollectionPadding: false, collectionStyle: 'flow' })
      .trim()
      .replace(/^\[/, '')
      .replace(/\]$/, '');
  const block = (list: typeof yaml.inputs): string => list.map((spec) => `  - ${specs([spec]).trim()}`).join('\n');
  return `# A Tidegate model package: this file beside the graph and whatever else it needs.
name: ${stringify(yaml.name).trim()}
# version: a label; the hub numbers versions itself

# An SPDX identifier (Apache-2.0, MIT ...); publishing refuses 'unknown' unless told otherwise.
licence: unknown
# source: where the model comes from

# -1 is a dynamic dimension.
inputs:
${block(yaml.inputs)}
outputs:
${block(yaml.outputs)}

# Nodes of the pipeline: this graph, and built-in steps before and after it
# ({step: normalise, inputs: [image], outputs: [x], with: {...}}).
pipeline:
  - graph: ${stringify(graphFile).trim()}

batching:
  # The most rows that one run may take. More than 1 only where the first dimension of every input and output is a batch.
  maxRows: ${yaml.batching.maxRows}

# The output whose smallest value is the answer's confidence; below the threshold the hub is asked.
# confidence: {output: confidence, threshold: 0.6}

# Inputs with expected outputs: publishing, optimising and activating run them.
# goldens: {file: goldens.json, output: label, metric: exact, threshold: 0.95}

cache: {enabled: true, ttlMs: ${yaml.cache.ttlMs}}

# fallback: local keeps every input on the device, whatever a caller says.
privacy: {fallback: hub}
`;
}
