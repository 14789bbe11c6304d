// Can this package's graph be trained as asked, as far as that is known without running anything: is it in the pipeline and fed by
// steps alone, has every operator between its weights and the loss a gradient, do the patterns name parameters? Building the step
// graph answers all of it in milliseconds. What only the data can tell (labels, shapes) the job's process tells.
import * as fs from 'node:fs/promises';
import { isExternal } from '@tidegate/shared/onnx/external-data.js';
import { decodeModel } from '@tidegate/shared/onnx/model-codec.js';
import type { ModelProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import { tensorSizeBytes } from '@tidegate/shared/onnx/tensor-data.js';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { openPreparation } from '@tidegate/shared/training/prepare-inputs.js';
import type { TrainingParameters } from '@tidegate/shared/wire/training-api.js';
import { findClasses } from '../../data/label-targets.js';
import { explainUntrainable } from '../job-process/explain-failure.js';
import { buildStepGraph } from '../step-graph/build-step-graph.js';
import { JobError } from './job-error.js';

/** Larger graphs are left to the job's process: reading one would keep the hub from answering. */
const LIMIT_GRAPH_BYTES = 128 * 1024 * 1024;

/** Rejects with JobError `invalid`, whose message names the operator and where it stands, or the pattern. */
export async function checkTrainable(
  packageFolder: string,
  graph: string | undefined,
  parameters: TrainingParameters,
): Promise<void> {
  try {
    const pack = await openPackage(packageFolder, { inspect: inspectGraphFile });
    const preparation = await openPreparation(pack, graph);
    const { output } = await findClasses(pack, preparation);
    const path = pack.pathOf(preparation.graph);
    if ((await fs.stat(path)).size > LIMIT_GRAPH_BYTES) return;
    const model = withoutExternalData(decodeModel(await fs.readFile(path)));
    const batchNormalization = parameters.fromScratch ? 'batch' : 'frozen';
    buildStepGraph(model, { ...parameters, ...(output === undefined ? {} : { output }), batchNormalization });
  } catch (cause) {
    const fault = explainUntrainable(cause);
    throw fault === undefined ? cause : new JobError('invalid', fault.message, { cause, field: fault.field });
  }
}

/** External weights as zeros of their size: their values decide nothing here. */
function withoutExternalData(model: ModelProto): ModelProto {
  const { graph } = model;
  if (graph === undefined) return model;
  const initializer = graph.initializer.map((tensor): TensorProto => {
    if (!isExternal(tensor)) return tensor;
    const { dataLocation: _, ...rest } = tensor;
    const size = tensorSizeBytes(tensor, `initializer ${tensor.name ?? ''}`) ?? 0;
    return { ...rest, externalData: [], rawData: new Uint8Array(size) };
  });
  return { ...model, graph: { ...graph, initializer } };
}
