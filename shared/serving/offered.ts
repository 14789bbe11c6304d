// What of Triton's extensions a service offers, and the calls behind them: the same for every protocol.
import type { InferenceService } from './inference-service.js';
import type { ModelStatistics } from './inference-statistics.js';
import { ServingError } from './serving-error.js';

type OptionalCall = 'models' | 'details' | 'statistics' | 'load' | 'unload';

/** The names under which a server's metadata lists them. */
export function offeredExtensions(service: InferenceService): readonly string[] {
  return [
    'binary_tensor_data',
    'classification',
    'schedule_policy',
    ...(service.models === undefined ? [] : ['model_repository']),
    ...(service.details === undefined ? [] : ['model_configuration']),
    ...(service.statistics === undefined ? [] : ['statistics']),
    ...(service.endSequences === undefined ? [] : ['sequence']),
  ];
}

/** Throws ServingError `unimplemented`, with the field that is to be named, where the service lacks the call. */
export function offered<Call extends OptionalCall>(
  service: InferenceService,
  call: Call,
  named: { readonly field?: string } = {},
): NonNullable<InferenceService[Call]> {
  const found = service[call];
  if (found === undefined) throw new ServingError('unimplemented', `${call}: this server does not offer it`, named);
  return found.bind(service) as NonNullable<InferenceService[Call]>;
}

/** Of a model's versions, or of the one that is named. Throws ServingError: `unimplemented`, `not-found`. */
export function statisticsOf(
  service: InferenceService,
  model: string,
  version: string | undefined,
  named: { readonly field?: string } = {},
): readonly ModelStatistics[] {
  service.metadata(model, version);
  const all = offered(service, 'statistics', named)();
  return all.filter((each) => each.name === model && (version === undefined || each.version === version));
}
