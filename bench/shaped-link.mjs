// A TCP proxy that stands for a slow link: every byte arrives half a round trip late, and no faster than the rate lets through, each way by itself.
// Deterministic: what arrives when follows from what was sent when.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** In front of the HTTP server at `target`. */
export async function startShapedLink(target, shape) {
  const { hostname, port } = new URL(target);
  const sockets = new Set();
  const link = { shape };
  const server = createServer((near) => {
    const far = connect(Number(port), hostname);
    for (const socket of [near, far]) {
      sockets.add(socket.setNoDelay(true));
      socket.on('close', () => sockets.delete(socket)).on('error', () => undefined);
    }
    carry(near, far, link);
    carry(far, near, link);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => sockets.forEach((socket) => socket.destroy());
  return Object.assign(link, {
    url: `http://127.0.0.1:${server.address().port}`,
    cut,
    close: async () => {
      cut();
      server.close();
      await once(server, 'close');
    },
  });
}

/** One direction. The line is busy with a chunk until its bytes have gone; then each travels for half a round trip. */
function carry(from, to, link) {
  let freeAtMs = 0;
  const later = (bytes, then) => {
    const { roundTripMs, bytesPerSecond } = link.shape;
    freeAtMs = Math.max(freeAtMs, performance.now()) + (1000 * bytes) / bytesPerSecond;
    setTimeout(then, freeAtMs + roundTripMs / 2 - performance.now());
  };
  from.on('data', (chunk) => later(chunk.byteLength, () => to.writable && to.write(chunk)));
  from.on('end', () => later(0, () => to.end()));
  from.on('close', () => later(0, () => to.destroy()));
}
