// Drop a picture on a model and see what it says, how sure it is, where it was answered and how long that took. A model
// that takes BYTES gets the file as it is; one that takes FP32 pictures [-1, C, H, W] gets it drawn to that size, 0..1. Where it
// answers boxes, they are drawn over the picture.
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { messageOf } from '../format.js';
import type { HubClient, InferAnswer, InferInput, ModelMetadata, ModelRow } from '../hub-client.js';
import { findsOf } from './finds.js';
import { PictureWithFinds } from './picture-with-finds.js';
import './playground.css';

interface Outcome {
  readonly answer: InferAnswer;
  readonly roundTripMs: number;
  readonly picture: string;
}

function encodedPicture(name: string, file: Uint8Array): InferInput {
  const data = new Uint8Array(4 + file.byteLength);
  new DataView(data.buffer).setUint32(0, file.byteLength, true);
  data.set(file, 4);
  return { name, datatype: 'BYTES', shape: [1], data };
}

async function drawnPicture(input: ModelMetadata['inputs'][number], file: Blob): Promise<InferInput> {
  const [, channels = 1, height = 28, width = 28] = input.shape;
  const bitmap = await createImageBitmap(file);
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d');
  if (context === null) throw new Error('this browser has no 2d canvas');
  context.drawImage(bitmap, 0, 0, width, height);
  const pixels = context.getImageData(0, 0, width, height).data;
  const values = new Float32Array(channels * height * width);
  for (let i = 0; i < height * width; i += 1) {
    const rgb = [0, 1, 2].map((c) => (pixels[4 * i + c] ?? 0) / 255);
    const grey = rgb.reduce((sum, value) => sum + value, 0) / 3;
    for (let c = 0; c < channels; c += 1) values[c * height * width + i] = channels === 1 ? grey : (rgb[c] ?? grey);
  }
  return {
    name: input.name,
    datatype: 'FP32',
    shape: [1, channels, height, width],
    data: new Uint8Array(values.buffer),
  };
}

async function ask(client: HubClient, model: string, file: File): Promise<Outcome> {
  const metadata = await client.modelMetadata(model);
  const input = metadata.inputs[0];
  if (input === undefined) throw new Error(`${model} has no input`);
  const tensor =
    input.datatype === 'BYTES'
      ? encodedPicture(input.name, new Uint8Array(await file.arrayBuffer()))
      : await drawnPicture(input, file);
  const start = performance.now();
  const answer = await client.infer(model, tensor);
  return { answer, roundTripMs: performance.now() - start, picture: URL.createObjectURL(file) };
}

export function PlaygroundPage({ client }: { client: HubClient }): JSX.Element {
  const [models, setModels] = useState<readonly ModelRow[]>([]);
  const [model, setModel] = useState<string>();
  const [outcome, setOutcome] = useState<Outcome>();
  const [error, setError] = useState<string>();
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    client.models().then(
      (rows) => {
        setModels(rows);
        setModel((old) => old ?? rows.find((row) => row.name.includes('ocr'))?.name ?? rows[0]?.name);
      },
      (cause: unknown) => setError(String(cause)),
    );
  }, [client]);
  useEffect(() => () => (outcome === undefined ? undefined : URL.revokeObjectURL(outcome.picture)), [outcome]);
  const finds = outcome === undefined ? undefined : findsOf(outcome.answer);
  const submit = (file: File | undefined): void => {
    if (file === undefined || model === undefined) return;
    setBusy(true);
    setError(undefined);
    ask(client, model, file)
      .then(setOutcome, (cause: unknown) => {
        setOutcome(undefined);
        setError(messageOf(cause));
      })
      .finally(() => setBusy(false));
  };
  return (
    <section class={`playground ${finds === undefined ? '' : 'wide'}`}>
      <label>
        Model{' '}
        <select value={model} onChange={(event) => setModel(event.currentTarget.value)}>
          {models.map((row) => (
            <option key={row.name} value={row.name}>
              {row.name}
            </option>
          ))}
        </select>
      </label>
      <label
        class={`drop ${busy ? 'busy' : ''} ${finds === undefined ? '' : 'small'}`}
        onDragOver={(event) => event.preventDefault()}
        onDrop={(event) => {
          event.preventDefault();
          submit(event.dataTransfer?.files[0]);
        }}
      >
        <input type="file" accept="image/*" onChange={(event) => submit(event.currentTarget.files?.[0])} />
        {outcome === undefined || finds !== undefined ? (
          <span>
            {busy ? 'asking…' : `Drop ${finds === undefined ? 'a' : 'another'} picture here, or click to choose one`}
          </span>
        ) : (
          <img src={outcome.picture} alt="the picture that was asked about" />
        )}
      </label>
      {error !== undefined && <p class="error">{error}</p>}
      {outcome !== undefined && finds !== undefined && (
        <PictureWithFinds key={outcome.picture} picture={outcome.picture} finds={finds} />
      )}
      {outcome !== undefined && <Answer outcome={outcome} textShown={finds !== undefined} />}
    </section>
  );
}

function Answer({ outcome, textShown }: { outcome: Outcome; textShown: boolean }): JSX.Element {
  const { answer, roundTripMs } = outcome;
  const parameters = answer.parameters ?? {};
  const milliseconds = (name: string): string =>
    typeof parameters[name] === 'number' ? `${(parameters[name] / 1000).toFixed(1)} ms` : '–';
  const confidence = parameters['confidence'];
  return (
    <div class="answer">
      {answer.outputs
        .filter(({ datatype }) => datatype === 'BYTES' && !textShown)
        .map((output) => (
          <p class="text" data-output={output.name} key={output.name}>
            {output.data.map(String).join('\n')}
          </p>
        ))}
      <dl>
        <dt>confidence</dt>
        <dd>
          {typeof confidence === 'number' ? (
            <>
              <meter min="0" max="1" value={confidence} /> {confidence.toFixed(3)}
            </>
          ) : (
            '–'
          )}
        </dd>
        <dt>placement</dt>
        <dd>
          <span class="badge good">{String(parameters['placement'] ?? '–')}</span> {String(parameters['reason'] ?? '')}
        </dd>
        <dt>version</dt>
        <dd>
          {answer.model_name}@{answer.model_version} <small>{String(parameters['variant'] ?? '')}</small>
        </dd>
        <dt>queue · compute · round trip</dt>
        <dd>
          {milliseconds('queue_us')} · {milliseconds('compute_us')} · {roundTripMs.toFixed(1)} ms
        </dd>
      </dl>
    </div>
  );
}
