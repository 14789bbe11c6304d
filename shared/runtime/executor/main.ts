// The executor: a process that holds one graph or several and runs them for its parent, over frames on file descriptor 3 and
// shared memory behind 4. It may crash, hang or be killed without harm to anyone else (design decision 3). Its graphs have one
// pool of threads and one row of slots. It ends when the pipe closes, so it never outlives its parent, however that died; and it
// leaves SIGINT and SIGTERM to the parent, which first lets accepted requests finish.
import { writeFileSync } from 'node:fs';
import { Socket, type OnReadOpts, type SocketConstructorOpts } from 'node:net';
import { loadThroughCache } from './compiled-cache.js';
import type { MappedArena } from './mapped-arena.js';
import { pickEngine } from './pick-engine.js';
import { RunSlots } from './run-slots.js';
import { SequenceStates } from './sequence-states.js';
import { trimMemory } from './trim-memory.js';
import { decodeToExecutor, encodeMessage, type FromExecutor, type ToExecutor } from '../executor-protocol.js';
import { FrameReader, type Frame } from '../frames.js';
import type { EngineSession } from '../engine.js';
import type { CompiledReport } from '../graph-runner.js';
import { RuntimeError, type RuntimeErrorCode } from '../runtime-error.js';
import { tuneForServing } from '../../system/v8-flags.js';

const PIPE_FD = 3;
const SHARED_FD = 4;
/** One is enough to keep a thread busy while its last result is sent. */
const PRIMED_RUNS = 1;

const reader = new FrameReader();
// Bytes are read to where they belong: a large frame fills its own memory, without a copy in between.
const onread: OnReadOpts = {
  buffer: () => reader.space(),
  callback: (count) => {
    receive(() => reader.filled(count));
    return true;
  },
};
const options: SocketConstructorOpts & { onread: OnReadOpts } = { fd: PIPE_FD, readable: true, writable: true, onread };
const pipe = new Socket(options);

/** Ends at once and without ONNX Runtime's destructors, which may crash or wait while a run is in flight. */
function die(): never {
  process.kill(process.pid, 'SIGKILL');
  throw new Error('unreachable');
}

function send(message: FromExecutor, places?: readonly (number | undefined)[]): void {
  pipe.cork();
  for (const chunk of encodeMessage(message, places)) pipe.write(chunk);
  pipe.uncork();
}

function described(error: unknown, otherwise: RuntimeErrorCode): { code: RuntimeErrorCode; message: string } {
  const code = error instanceof RuntimeError ? error.code : otherwise;
  return { code, message: error instanceof Error ? error.message : String(error) };
}

/** A graph from its first word on: absent `session` = it is being loaded. */
interface Held {
  readonly loading: AbortController;
  session?: EngineSession;
  states?: SequenceStates;
}

const graphs = new Map<number, Held>();
let picked: ReturnType<typeof pickEngine> | undefined;
let slots: RunSlots | undefined;
let arena: MappedArena | undefined;
let mapping: Promise<void> | undefined;

const sharedBytes = (_id: number, at: number, sizeBytes: number): Uint8Array => {
  if (arena === undefined) throw new Error('a tensor in shared memory, which is not mapped');
  return arena.view(at, sizeBytes);
};

/** The parent's word is taken; without koffi or mmap everything takes the pipe. */
async function mapArena(sizeBytes: number): Promise<void> {
  try {
    arena = new (await import('./mapped-arena.js')).MappedArena(SHARED_FD, sizeBytes);
  } catch (error) {
    console.error('executor: no shared memory:', error);
  }
}

function receive(read: () => Frame[]): void {
  try {
    for (const frame of read()) handle(decodeToExecutor(frame, sharedBytes));
  } catch (error) {
    console.error('executor: the parent sent no frame:', error); // a bug on our side: better dead than wrong
    die();
  }
}

function handle(message: ToExecutor): void {
  switch (message.type) {
    case 'load':
      void load(message);
      return;
    case 'run':
      void run(message);
      return;
    case 'forget':
      graphs.get(message.graph)?.states?.forget(message.key);
      return;
    case 'unload':
      void unload(message.graph);
      return;
    case 'cancel':
      slots?.cancel(message.id);
      return;
    case 'ping':
      send({ type: 'pong', id: message.id });
      return;
    case 'close':
      void close();
  }
}

async function load(message: Extract<ToExecutor, { type: 'load' }>): Promise<void> {
  const { graph, tensors: initial, carried, intraOpThreads, sharedBytes: offered, compiledCache } = message;
  const held: Held = { loading: new AbortController() };
  graphs.set(graph, held);
  try {
    picked ??= pickEngine(process.env['TIDEGATE_ENGINE'], intraOpThreads);
    const { engine, fallbackReason } = await picked;
    if (offered !== undefined) await (mapping ??= mapArena(offered));
    const [startedMs, bytesBefore] = [performance.now(), process.memoryUsage.rss()];
    const { signal } = held.loading;
    let compiled: CompiledReport | undefined;
    if (compiledCache === undefined) held.session = await engine.load(message, signal);
    else {
      const compiling = (): void => send({ type: 'compiling', graph });
      const loading = loadThroughCache(engine, message, compiledCache, signal, compiling);
      ({ session: held.session, compiled } = await loading);
    }
    const { session } = held;
    const sessionMs = performance.now() - startedMs;
    const grownBytes = Math.max(0, process.memoryUsage.rss() - bytesBefore);
    if (carried.length > 0) held.states = new SequenceStates(session, { initial, carried: new Map(carried) });
    slots ??= engine.capabilities.concurrentRuns ? new RunSlots(message.slots, PRIMED_RUNS) : new RunSlots(1, 0);
    if (signal.aborted) return void session.close(); // unloaded meanwhile
    send({
      type: 'loaded',
      graph,
      engine: { name: engine.name, version: engine.version, capabilities: engine.capabilities },
      ...(fallbackReason === undefined ? {} : { fallbackReason }),
      inputs: session.inputs,
      outputs: session.outputs,
      provider: session.provider,
      sharedMemory: arena !== undefined,
      sessionMs,
      grownBytes,
      ...(compiled === undefined ? {} : { compiled }),
    });
  } catch (error) {
    graphs.delete(graph);
    void held.session?.close();
    send({ type: 'load-failed', graph, ...described(error, 'load-failed') });
  }
}

/** One that is still loading is closed as soon as it has been. */
async function unload(graph: number): Promise<void> {
  const held = graphs.get(graph);
  graphs.delete(graph);
  if (held?.session === undefined) return held?.loading.abort();
  await held.session.close();
  await trimMemory();
}

async function run(message: Extract<ToExecutor, { type: 'run' }>): Promise<void> {
  const { id, graph, tensors, outputs, sequence, answer } = message;
  try {
    const { session, states } = graphs.get(graph) ?? {};
    if (session === undefined || slots === undefined) throw new RuntimeError('run-failed', 'no such graph is loaded');
    const copy = answer && arena?.copier(answer);
    const { result, computeUs } = await slots.run(id, (signal) => {
      if (sequence === undefined) return session.run(tensors, outputs, signal, copy);
      if (states === undefined) throw new RuntimeError('invalid-input', 'the graph carries no state');
      return states.run(sequence, tensors, outputs, signal, copy);
    });
    const places = result.map(({ data }) => arena?.placeOf(data));
    send({ type: 'result', id, computeUs, tensors: result }, places);
  } catch (error) {
    send({ type: 'failed', id, ...described(error, 'run-failed') });
  }
}

async function close(): Promise<void> {
  await slots?.idle();
  pipe.end(die);
}

pipe.on('close', die);
pipe.on('error', die);
pipe.on('end', die);
pipe.resume();
process.on('SIGINT', () => undefined); // the parent's to answer
process.on('SIGTERM', () => undefined);
tuneForServing();
process.title = `tidegate-executor ${process.argv[2] ?? ''}`;
if (process.platform === 'linux') {
  try {
    writeFileSync('/proc/self/oom_score_adj', '500'); // when memory runs out, an executor goes, not the agent
  } catch (error) {
    console.error('executor: could not offer itself to the OOM killer:', error);
  }
}
