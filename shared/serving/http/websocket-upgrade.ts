// A client may ask for another protocol (`Upgrade`), and a server may go on as if it had not (RFC 9110, 7.8). Node gives every
// such request to whoever listens for upgrades, whatever the protocol: with a WebSocket behind a server, the first request of
// Java's HttpClient or of `curl --http2`, which ask for `h2c`, would get no answer. So it goes through the server once more,
// without the wish.
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';

const WISHES: ReadonlySet<string> = new Set(['upgrade', 'http2-settings']);

/** Gives `take` the upgrades to a WebSocket (RFC 6455, 4.1); a wish for anything else is ignored. `head`: read after the headers. */
export function onWebSocketUpgrade(
  server: Pick<Server, 'on' | 'emit'>,
  take: (request: IncomingMessage, socket: Duplex, head: Buffer) => void,
): void {
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.headers.upgrade?.toLowerCase() === 'websocket') return take(request, socket, head);
    socket.unshift(Buffer.concat([headWithoutWish(request), head]));
    server.emit('connection', socket);
  });
}

function headWithoutWish({ method, url, httpVersion, rawHeaders }: IncomingMessage): Buffer {
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const [name = '', value = ''] = rawHeaders.slice(index, index + 2);
    if (WISHES.has(name.toLowerCase())) continue;
    lines.push(`${name}: ${name.toLowerCase() === 'connection' ? withoutWishes(value) : value}`);
  }
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

function withoutWishes(connection: string): string {
  const options = connection.split(',').map((option) => option.trim());
  return options.filter((option) => !WISHES.has(option.toLowerCase())).join(', ');
}
