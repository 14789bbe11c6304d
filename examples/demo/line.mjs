// The line between devices and hub: passes TCP through until it is cut. Devices reach the hub by another loopback address at the
// same port, so that the demo can cut the line without touching either end.
import { connect, createServer } from 'node:net';

export class Line {
  #from;
  #to;
  #ports;
  #servers = [];
  #sockets = new Set();

  constructor({ from, to, ports }) {
    this.#from = from;
    this.#to = to;
    this.#ports = ports;
  }

  async up() {
    this.#servers = await Promise.all(this.#ports.map((port) => this.#listen(port)));
  }

  /** Ends every connection and takes no new one. */
  async cut() {
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
    this.#servers = [];
  }

  #listen(port) {
    const server = createServer((near) => {
      const far = connect(port, this.#to);
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ]) {
        this.#sockets.add(socket);
        socket.on('error', () => other.destroy());
        socket.on('close', () => {
          this.#sockets.delete(socket);
          other.destroy();
        });
        socket.pipe(other);
      }
    });
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, this.#from, () => resolve(server));
    });
  }
}
