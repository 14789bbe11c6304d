// node bench/peers/install.mjs [NAME...]: installs the peers of P2 and says what each is, or why it can't be had.
import { PEERS } from './peers.mjs';

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => PEERS[name] === undefined);
if (unknown.length > 0) {
  console.error(`no peer is called ${unknown.join()}; there are ${Object.keys(PEERS).join()}`);
  process.exit(2);
}
for (const name of wanted.length > 0 ? wanted : Object.keys(PEERS)) {
  const { about, missing } = await PEERS[name].install((text) => console.error(text));
  console.log(missing === undefined ? `${name}: ${about}` : `${name} is skipped: ${missing}`);
}
