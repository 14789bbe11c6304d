// The services' methods as grpc-js wants them told. Messages are bytes on both sides of it: what is wrong in one is then
// answered by us, with the field, and not by grpc-js as an internal error. The services themselves are described in
// open_inference_grpc.proto and health.proto beside this file, which the tests' clients are made from.
import type { ServiceDefinition } from '@grpc/grpc-js';

const bytes = (value: Buffer): Buffer => value;

function service(
  name: string,
  methods: Readonly<Record<string, 'unary' | 'server-stream' | 'stream'>>,
): ServiceDefinition {
  return Object.fromEntries(
    Object.entries(methods).map(([method, form]) => [
      method,
      {
        path: `/${name}/${method}`,
        requestStream: form === 'stream',
        responseStream: form !== 'unary',
        requestSerialize: bytes,
        requestDeserialize: bytes,
        responseSerialize: bytes,
        responseDeserialize: bytes,
      },
    ]),
  );
}

export const INFERENCE_SERVICE_NAME = 'inference.GRPCInferenceService';

/** Triton's extensions that this server does not offer, and what it says of them. */
export const NOT_OFFERED = {
  CudaSharedMemoryStatus: 'CUDA shared memory is not offered',
  CudaSharedMemoryRegister: 'CUDA shared memory is not offered',
} as const;

export const INFERENCE_SERVICE = service(INFERENCE_SERVICE_NAME, {
  ServerLive: 'unary',
  ServerReady: 'unary',
  ModelReady: 'unary',
  ServerMetadata: 'unary',
  ModelMetadata: 'unary',
  ModelInfer: 'unary',
  ModelStreamInfer: 'stream',
  RepositoryIndex: 'unary',
  RepositoryModelLoad: 'unary',
  RepositoryModelUnload: 'unary',
  ModelConfig: 'unary',
  ModelStatistics: 'unary',
  SystemSharedMemoryStatus: 'unary',
  SystemSharedMemoryRegister: 'unary',
  SystemSharedMemoryUnregister: 'unary',
  CudaSharedMemoryUnregister: 'unary',
  TraceSetting: 'unary',
  LogSettings: 'unary',
  ...(Object.fromEntries(Object.keys(NOT_OFFERED).map((method) => [method, 'unary'])) as Record<string, 'unary'>),
});

export const HEALTH_SERVICE = service('grpc.health.v1.Health', { Check: 'unary', Watch: 'server-stream' });

/** They tell whether the server lives or is ready, and nothing else of it. */
export const HEALTH_PATHS: ReadonlySet<string> = new Set([
  `/${INFERENCE_SERVICE_NAME}/ServerLive`,
  `/${INFERENCE_SERVICE_NAME}/ServerReady`,
  '/grpc.health.v1.Health/Check',
  '/grpc.health.v1.Health/Watch',
]);
