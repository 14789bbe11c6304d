// ONNX Runtime's C API as typed functions, over the library that onnxruntime-node ships. `OrtGetApiBase()->GetApi(24)`
// answers a table of function pointers in the order of onnxruntime_c_api.h; the table only ever grows at its end, so an index
// never changes its meaning. A wrong signature here is a crash of the process: only executors load this file.
import { join } from 'node:path';
import koffi, { type LibraryHandle } from 'koffi';
import { libraryFolder } from '../library-folder.js';

/** The table's version that has every function used here. */
const API_VERSION = 24;

// Native code of an asynchronous call runs on koffi's own stack (128 KiB unless told): ONNX Runtime gets what a thread would
// give it. Once, before the first library is loaded.
koffi.config({ async_stack_size: 8 << 20, async_heap_size: 64 << 10, max_async_calls: 1024 });

/** A native address; koffi gives null for NULL. */
export type Pointer = bigint | null;
type Out = [Pointer];
type OutNumber = [number | bigint | null];

const PATH_TYPE = process.platform === 'win32' ? 'const char16_t*' : 'const char*';

/** Index in the table, result, arguments. `status` = OrtStatus*, null when all went well. */
const FUNCTIONS = {
  GetErrorCode: [1, 'int', 'void* status'],
  GetErrorMessage: [2, 'const char*', 'void* status'],
  CreateEnv: [3, 'void*', 'int level, const char* id, _Out_ void** out'],
  DisableTelemetryEvents: [6, 'void*', 'void* env'],
  CreateSession: [7, 'void*', `void* env, ${PATH_TYPE} path, void* options, _Out_ void** out`],
  Run: [
    9,
    'void*',
    'void* session, void* options, void* inNames, void* ins, size_t inCount, void* outNames, size_t outCount, void* outs',
  ],
  CreateSessionOptions: [10, 'void*', '_Out_ void** out'],
  SetOptimizedModelFilePath: [11, 'void*', `void* options, ${PATH_TYPE} path`],
  SetSessionGraphOptimizationLevel: [23, 'void*', 'void* options, int level'],
  SetIntraOpNumThreads: [24, 'void*', 'void* options, int count'],
  SessionGetInputCount: [30, 'void*', 'void* session, _Out_ size_t* out'],
  SessionGetOutputCount: [31, 'void*', 'void* session, _Out_ size_t* out'],
  SessionGetInputTypeInfo: [33, 'void*', 'void* session, size_t index, _Out_ void** out'],
  SessionGetOutputTypeInfo: [34, 'void*', 'void* session, size_t index, _Out_ void** out'],
  SessionGetInputName: [36, 'void*', 'void* session, size_t index, void* allocator, _Out_ void** out'],
  SessionGetOutputName: [37, 'void*', 'void* session, size_t index, void* allocator, _Out_ void** out'],
  CreateRunOptions: [39, 'void*', '_Out_ void** out'],
  RunOptionsSetTerminate: [46, 'void*', 'void* options'],
  CreateTensorAsOrtValue: [48, 'void*', 'void* allocator, void* shape, size_t rank, int type, _Out_ void** out'],
  CreateTensorWithDataAsOrtValue: [
    49,
    'void*',
    'void* info, void* data, size_t bytes, void* shape, size_t rank, int type, _Out_ void** out',
  ],
  GetTensorMutableData: [51, 'void*', 'void* value, _Out_ void** out'],
  GetStringTensorDataLength: [53, 'void*', 'void* value, _Out_ size_t* out'],
  GetStringTensorContent: [54, 'void*', 'void* value, void* bytes, size_t length, void* offsets, size_t count'],
  CastTypeInfoToTensorInfo: [55, 'void*', 'void* type, _Out_ void** out'],
  GetOnnxTypeFromTypeInfo: [56, 'void*', 'void* type, _Out_ int* out'],
  GetTensorElementType: [60, 'void*', 'void* info, _Out_ int* out'],
  GetDimensionsCount: [61, 'void*', 'void* info, _Out_ size_t* out'],
  GetDimensions: [62, 'void*', 'void* info, void* dimensions, size_t count'],
  GetTensorTypeAndShape: [65, 'void*', 'void* value, _Out_ void** out'],
  CreateCpuMemoryInfo: [69, 'void*', 'int allocator, int type, _Out_ void** out'],
  AllocatorFree: [76, 'void*', 'void* allocator, void* memory'],
  GetAllocatorWithDefaultOptions: [78, 'void*', '_Out_ void** out'],
  ReleaseEnv: [92, 'void', 'void* env'],
  ReleaseStatus: [93, 'void', 'void* status'],
  ReleaseSession: [95, 'void', 'void* session'],
  ReleaseValue: [96, 'void', 'void* value'],
  ReleaseRunOptions: [97, 'void', 'void* options'],
  ReleaseTypeInfo: [98, 'void', 'void* info'],
  ReleaseTensorTypeAndShapeInfo: [99, 'void', 'void* info'],
  ReleaseSessionOptions: [100, 'void', 'void* options'],
  CreateEnvWithGlobalThreadPools: [119, 'void*', 'int level, const char* id, void* threading, _Out_ void** out'],
  DisablePerSessionThreads: [120, 'void*', 'void* options'],
  CreateThreadingOptions: [121, 'void*', '_Out_ void** out'],
  ReleaseThreadingOptions: [122, 'void', 'void* threading'],
  GetAvailableProviders: [125, 'void*', '_Out_ void** names, _Out_ int* count'],
  ReleaseAvailableProviders: [126, 'void*', 'void* names, int count'],
  AddSessionConfigEntry: [130, 'void*', 'void* options, const char* key, const char* value'],
  SetGlobalIntraOpNumThreads: [147, 'void*', 'void* threading, int count'],
  SetGlobalInterOpNumThreads: [148, 'void*', 'void* threading, int count'],
  SetGlobalSpinControl: [149, 'void*', 'void* threading, int allow'],
  SessionOptionsAppendExecutionProvider_CUDA_V2: [204, 'void*', 'void* options, void* cuda'],
  CreateCUDAProviderOptions: [205, 'void*', '_Out_ void** out'],
  ReleaseCUDAProviderOptions: [208, 'void', 'void* cuda'],
  SessionOptionsAppendExecutionProvider: [
    216,
    'void*',
    'void* options, const char* name, void* keys, void* values, size_t count',
  ],
  GetResizedStringTensorElementBuffer: [252, 'void*', 'void* value, size_t index, size_t length, _Out_ void** out'],
  SessionOptionsSetLoadCancellationFlag: [293, 'void*', 'void* options, bool cancel'],
  Session_GetEpGraphAssignmentInfo: [407, 'void*', 'void* session, _Out_ void** subgraphs, _Out_ size_t* count'],
  EpAssignedSubgraph_GetEpName: [408, 'void*', 'void* subgraph, _Out_ void** name'],
  EpAssignedSubgraph_GetNodes: [409, 'void*', 'void* subgraph, _Out_ void** nodes, _Out_ size_t* count'],
} as const satisfies Record<string, readonly [index: number, result: string, args: string]>;

type Native = ((...args: unknown[]) => unknown) & { async: (...args: unknown[]) => void };

// Named types are the process's, so each is made once.
const GET_API = koffi.proto('void* GetApi(uint32_t version)');
const GET_VERSION = koffi.proto('const char* GetVersion()');
const PROTOTYPES = Object.entries(FUNCTIONS).map(
  ([name, [index, result, args]]) => [name, index, koffi.proto(`${result} ${name}(${args})`)] as const,
);

class OrtError extends Error {
  override readonly name = 'OrtError';
}

/** The C API. Every call that answers a status throws OrtError with ONNX Runtime's message; the status is released. */
export class Ort {
  readonly version: string;
  // Collected means unloaded means a crash at the next call: referenced as long as anything can call.
  readonly #library: LibraryHandle;
  readonly #functions: Readonly<Record<keyof typeof FUNCTIONS, Native>>;

  /** Throws where the library can't be loaded or is older than the table that is needed. */
  constructor() {
    this.#library = koffi.load(libraryPath());
    const base = this.#library.func('void* OrtGetApiBase()')() as Pointer;
    const getApi = koffi.decode(koffi.decode(base, 0, 'void*'), GET_API) as Native;
    const getVersion = koffi.decode(koffi.decode(base, 8, 'void*'), GET_VERSION) as Native;
    this.version = getVersion() as string;
    const api = getApi(API_VERSION) as Pointer;
    if (api === null) throw new OrtError(`ONNX Runtime ${this.version} has no API version ${API_VERSION}`);
    const entries = PROTOTYPES.map(([name, index, prototype]) => {
      return [name, koffi.decode(koffi.decode(api, index * 8, 'void*'), prototype) as Native];
    });
    this.#functions = Object.fromEntries(entries) as Record<keyof typeof FUNCTIONS, Native>;
  }

  /** Calls a function that answers a status. */
  call(name: keyof typeof FUNCTIONS, ...args: unknown[]): void {
    this.#check(this.#functions[name](...args) as Pointer);
  }

  /** Calls a function whose last argument is an out pointer, and answers what it was set to. */
  make(name: keyof typeof FUNCTIONS, ...args: unknown[]): bigint {
    const out: Out = [null];
    this.call(name, ...args, out);
    if (out[0] === null) throw new OrtError(`${name} answered no object`);
    return out[0];
  }

  /** Calls a function whose last argument is a pointer to an integer. */
  number(name: keyof typeof FUNCTIONS, ...args: unknown[]): number {
    const out: OutNumber = [0];
    this.call(name, ...args, out);
    return Number(out[0]);
  }

  /** Calls a function without a result. */
  release(name: keyof typeof FUNCTIONS, handle: Pointer): void {
    this.#functions[name](handle);
  }

  /** Calls on a thread of libuv's pool; the event loop stays free. Everything passed must live until it settles. */
  callAsync(name: keyof typeof FUNCTIONS, ...args: unknown[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#functions[name].async(...args, (error: unknown, status: Pointer) => {
        try {
          if (error) throw error;
          this.#check(status);
          resolve();
        } catch (cause) {
          reject(cause as Error);
        }
      });
    });
  }

  #check(status: Pointer): void {
    if (status === null) return;
    const message = this.#functions.GetErrorMessage(status) as string;
    this.#functions.ReleaseStatus(status);
    throw new OrtError(message);
  }
}

/** Memory outside V8's heap for `count` pointers or sizes: small typed arrays otherwise live where the collector moves. */
export function wordArray(count: number): BigUint64Array {
  return new BigUint64Array(new ArrayBuffer(Math.max(count, 1) * 8));
}

/** A native string that is not freed. */
export function textAt(pointer: Pointer): string {
  return koffi.decode.string(pointer);
}

/** A view of native memory; valid only until its owner is released. */
export function memoryAt(pointer: Pointer, sizeBytes: number): Uint8Array {
  return new Uint8Array(koffi.view(pointer, sizeBytes));
}

export function addressOf(data: Uint8Array | BigUint64Array): bigint {
  return koffi.address(data);
}

/** The addresses of a `void**`. */
export function pointersAt(pointer: Pointer, count: number): Pointer[] {
  return Array.from({ length: count }, (_, i) => koffi.decode(pointer, i * 8, 'void*') as Pointer);
}

/** The strings of a `char**`. */
export function textsAt(pointer: Pointer, count: number): string[] {
  return pointersAt(pointer, count).map(textAt);
}

function libraryPath(): string {
  const files: Partial<Record<NodeJS.Platform, string>> = {
    linux: 'libonnxruntime.so.1',
    darwin: 'libonnxruntime.1.dylib',
    win32: 'onnxruntime.dll',
  };
  const file = files[process.platform];
  if (file === undefined) throw new OrtError(`no ONNX Runtime for ${process.platform}`);
  return join(libraryFolder(), file);
}
