// Triton's extensions around inference as messages: model repository, configuration and statistics (the protocol's extension
// documents; model_config.proto). The figures and the configuration are those of HTTP; here they are only written down.
import { invalid } from '../http/invalid.js';
import type { InferenceService } from '../inference-service.js';
import type { ModelStatistics, StatisticDuration } from '../inference-statistics.js';
import { modelConfig, type ModelConfig } from '../model-config.js';
import { offered, statisticsOf } from '../offered.js';
import { checkModel } from './infer-message.js';
import { ProtoReader } from './proto-reader.js';
import type { ProtoWriter } from './proto-writer.js';

/** DataType of model_config.proto, in the order of its numbers from 1. */
const DATA_TYPES = 'BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FP16 FP32 FP64 STRING BF16'.split(' ');
/** ModelInstanceGroup.Kind. */
const KINDS: Readonly<Record<string, number>> = { KIND_GPU: 1, KIND_CPU: 2 };

/** Of the requests that name a model and a version, as fields 1 and 2. */
export function modelAsked(message: Buffer): { model: string; version: string | undefined } {
  const { name, version } = namesOf(message);
  return checkModel(name, version, 'name', 'version');
}

function namesOf(message: Buffer): { readonly name: string; readonly version: string } {
  const reader = new ProtoReader(message);
  let name = '';
  let version = '';
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) name = reader.string();
    else if (field === 2) version = reader.string();
    else reader.skip();
  }
  return { name, version };
}

/** RepositoryIndexRequest -> RepositoryIndexResponse. */
export function writeIndex(writer: ProtoWriter, message: Buffer, service: InferenceService): void {
  const reader = new ProtoReader(message);
  let readyOnly = false;
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 2) readyOnly = reader.bool();
    else reader.skip();
  }
  for (const { name, version, ready, reason } of offered(service, 'models')()) {
    if (readyOnly && !ready) continue;
    writer.message(1, () => {
      writer.string(1, name);
      writer.string(2, version);
      writer.string(3, ready ? 'READY' : 'UNAVAILABLE');
      writer.string(4, reason ?? '');
    });
  }
}

/** RepositoryModelLoadRequest, RepositoryModelUnloadRequest: the model's name is field 2. The answers are empty. */
export async function changeModel(
  call: 'load' | 'unload',
  message: Buffer,
  service: InferenceService,
  signal: AbortSignal,
): Promise<void> {
  const reader = new ProtoReader(message);
  let model = '';
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 2) model = reader.string();
    else if (field === 3) refuseParameter(call, reader.message());
    else reader.skip();
  }
  if (model === '') throw invalid('model_name', 'expected a name, got nothing');
  if (call === 'load') await offered(service, 'load')(model, signal);
  else await offered(service, 'unload')(model);
}

/** Clients always say whether dependents are to go too: nothing depends on a model here. */
function refuseParameter(call: 'load' | 'unload', entry: ProtoReader): void {
  let name = '';
  let given = false;
  for (let field = entry.next(); field !== 0; field = entry.next()) {
    if (field === 1) name = entry.string();
    else if (field === 2) given = isGiven(entry.message());
    else entry.skip();
  }
  if (call === 'unload' && name === 'unload_dependents' && !given) return;
  throw invalid(`parameters.${name}`, 'not offered: a model is what its files say');
}

/** A ModelRepositoryParameter that says more than `false`. */
function isGiven(reader: ProtoReader): boolean {
  let given = false;
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) given = reader.bool();
    else {
      reader.skip();
      given = true;
    }
  }
  return given;
}

/** ModelConfigRequest -> ModelConfigResponse. */
export function writeConfig(writer: ProtoWriter, message: Buffer, service: InferenceService): void {
  const { model, version } = modelAsked(message);
  const config = modelConfig(offered(service, 'details')(model, version));
  const writeTensors = (field: number, dims: number, tensors: typeof config.input): void => {
    for (const tensor of tensors) {
      writer.message(field, () => {
        writer.string(1, tensor.name);
        writer.unsigned(2, typeNumber(tensor.data_type));
        writer.packed(dims, tensor.dims);
      });
    }
  };
  writer.message(1, () => {
    writer.string(1, config.name);
    writer.string(2, config.platform);
    writer.message(3, () => writer.message(3, () => writer.packed(1, config.version_policy.specific.versions)));
    writer.unsigned(4, config.max_batch_size);
    writeTensors(5, 4, config.input);
    writeTensors(6, 3, config.output);
    for (const { name, kind, count } of config.instance_group) {
      writer.message(7, () => {
        writer.string(1, name);
        writer.unsigned(2, count);
        writer.unsigned(4, KINDS[kind] ?? 0);
      });
    }
    if (config.sequence_batching !== undefined) writeSequences(writer, config.sequence_batching);
    if (config.dynamic_batching !== undefined) writer.message(11, () => undefined);
    writer.string(17, config.backend);
    writer.message(24, () => writer.bool(1, config.response_cache.enable));
  });
}

/** ModelSequenceBatching, with its strategy `direct`. */
function writeSequences(writer: ProtoWriter, batching: NonNullable<ModelConfig['sequence_batching']>): void {
  writer.message(13, () => {
    writer.unsigned(1, batching.max_sequence_idle_microseconds);
    writer.message(3, () => undefined);
    for (const state of batching.state) {
      writer.message(5, () => {
        writer.string(1, state.input_name);
        writer.string(2, state.output_name);
        writer.unsigned(3, typeNumber(state.data_type));
        writer.packed(4, state.dims);
      });
    }
  });
}

function typeNumber(name: string): number {
  return DATA_TYPES.indexOf(name.replace('TYPE_', '')) + 1;
}

/** ModelStatisticsRequest -> ModelStatisticsResponse; no name = every model. */
export function writeStatistics(writer: ProtoWriter, message: Buffer, service: InferenceService): void {
  const each = namesOf(message).name === '' ? offered(service, 'statistics')() : ofOneModel(message, service);
  for (const model of each) writer.message(1, () => writeModel(writer, model));
}

function ofOneModel(message: Buffer, service: InferenceService): readonly ModelStatistics[] {
  const { model, version } = modelAsked(message);
  return statisticsOf(service, model, version);
}

function writeModel(writer: ProtoWriter, model: ModelStatistics): void {
  const duration = (field: number, { count, ns }: StatisticDuration): void => {
    writer.message(field, () => {
      writer.unsigned(1, count);
      writer.unsigned(2, ns);
    });
  };
  const untimed = ({ count }: StatisticDuration): StatisticDuration => ({ count, ns: 0 });
  const compute = (first: number, of: StatisticDuration): void => {
    duration(first, untimed(of));
    duration(first + 1, of);
    duration(first + 2, untimed(of));
  };
  writer.string(1, model.name);
  writer.string(2, model.version);
  writer.unsigned(3, Math.round(model.lastInferenceMs));
  writer.unsigned(4, model.inferenceCount);
  writer.unsigned(5, model.executionCount);
  writer.message(6, () => {
    duration(1, model.success);
    duration(2, model.fail);
    duration(3, model.queue);
    compute(4, model.computeInfer);
    duration(7, model.cacheHit);
    duration(8, model.cacheMiss);
  });
  for (const { rows, computeInfer } of model.batches) {
    writer.message(7, () => {
      writer.unsigned(1, rows);
      compute(2, computeInfer);
    });
  }
}
