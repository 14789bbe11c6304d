// A client made by other people's code from the committed .proto files: grpc-js and protobufjs know nothing of our codec.
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../../shared/serving/grpc/', import.meta.url));
const definition = loadSync(['open_inference_grpc.proto', 'health.proto'], {
  includeDirs: [folder],
  keepCase: true,
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
});
const loaded = grpc.loadPackageDefinition(definition) as unknown as {
  readonly inference: { readonly GRPCInferenceService: grpc.ServiceClientConstructor };
  readonly grpc: { readonly health: { readonly v1: { readonly Health: grpc.ServiceClientConstructor } } };
};

type Message = Readonly<Record<string, unknown>>;

/** What a message holds is the test's to know. */
// oxlint-disable-next-line typescript/no-explicit-any
export type Decoded = Record<string, any>;

export interface Answered {
  readonly answer: Decoded;
  readonly trailers: Record<string, string>;
}

export interface CallOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly deadlineMs?: number;
}

type Service = 'inference' | 'health';

export class GrpcClient {
  readonly #clients: Readonly<Record<Service, grpc.Client>>;

  constructor(address: string, options: grpc.ClientOptions = {}) {
    const credentials = grpc.credentials.createInsecure();
    const all = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1, ...options };
    this.#clients = {
      inference: new loaded.inference.GRPCInferenceService(address, credentials, all),
      health: new loaded.grpc.health.v1.Health(address, credentials, all),
    };
  }

  /** Rejects with grpc.ServiceError. `onCall` gets the call, to cancel it. */
  call(
    method: string,
    message: Message,
    options: CallOptions = {},
    service: Service = 'inference',
    onCall: (call: grpc.ClientUnaryCall) => void = () => undefined,
  ): Promise<Answered> {
    return new Promise((resolve, reject) => {
      const client = this.#clients[service] as unknown as Record<string, (...args: unknown[]) => grpc.ClientUnaryCall>;
      let answer: Answered['answer'] = {};
      const call = client[method]?.(
        message,
        metadataOf(options),
        callOptions(options),
        (error: Error | null, value: unknown) => {
          if (error !== null) reject(error);
          else answer = value as Answered['answer'];
        },
      );
      if (call === undefined) throw new Error(`the service has no method ${method}`);
      call.on('status', ({ metadata }: grpc.StatusObject) => {
        setImmediate(() => resolve({ answer, trailers: metadata.getMap() as Record<string, string> }));
      });
      onCall(call);
    });
  }

  stream(options: CallOptions = {}): grpc.ClientDuplexStream<Message, Decoded> {
    const client = this.#clients.inference as unknown as Record<string, (...args: unknown[]) => unknown>;
    return client['ModelStreamInfer']?.(metadataOf(options), callOptions(options)) as ReturnType<GrpcClient['stream']>;
  }

  watch(service: string): grpc.ClientReadableStream<{ readonly status: string }> {
    const client = this.#clients.health as unknown as Record<string, (...args: unknown[]) => unknown>;
    return client['Watch']?.({ service }) as ReturnType<GrpcClient['watch']>;
  }

  /** The error of a call that must be refused. */
  async refusal(method: string, message: Message, options: CallOptions = {}, service: Service = 'inference') {
    try {
      await this.call(method, message, options, service);
    } catch (error) {
      return error as grpc.ServiceError;
    }
    throw new Error(`${method} was answered`);
  }

  close(): void {
    for (const client of Object.values(this.#clients)) client.close();
  }
}

function metadataOf({ metadata = {} }: CallOptions): grpc.Metadata {
  const made = new grpc.Metadata();
  for (const [name, value] of Object.entries(metadata)) made.set(name, value);
  return made;
}

function callOptions({ deadlineMs }: CallOptions): grpc.CallOptions {
  return deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
}
