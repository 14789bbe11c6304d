// Reads the numbers out of servers' answers, to see that all of them compute the same.

/** A body that is float32 values, little-endian. */
export function rawFloats(_headers, body) {
  return new Float32Array(Uint8Array.from(body).buffer);
}

/** An answer of the Open Inference Protocol with one binary output. */
export function oipFloats(headers, body) {
  return rawFloats(headers, body.subarray(Number(headers.get('inference-header-content-length'))));
}

/** Sends a prepared request (requests.mjs); `{ headers, body }`. Throws what the server says where it isn't 200. */
export async function ask({ host, port }, { path, headers, body }) {
  const response = await fetch(`http://${host}:${port}${path}`, {
    method: 'POST',
    headers: headers.map(([name, value]) => [name, String(value)]),
    body,
  });
  const answer = Buffer.from(await response.arrayBuffer());
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${answer.toString('utf8', 0, 600)}`);
  return { headers: response.headers, body: answer };
}

/** Throws where two answers differ by more than rounding. */
export function expectSame(name, ours, theirs) {
  if (ours.length !== theirs.length)
    throw new Error(`${name} answers ${theirs.length} values, tidegate ${ours.length}`);
  const wrong = ours.findIndex((value, i) => !(Math.abs(value - theirs[i]) <= 1e-3 * Math.max(1, Math.abs(value))));
  if (wrong >= 0) throw new Error(`${name} answers ${theirs[wrong]} at ${wrong}, tidegate ${ours[wrong]}`);
}
