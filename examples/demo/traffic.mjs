// Applications at work: each device is asked for digits and text lines all the time, every input distinct. Failures are kept.
import { digitInput, infer, pictureInput } from './oip.mjs';

export class Traffic {
  #agents;
  #digits;
  #pictures;
  #stopped = false;
  #loops = [];
  #seed = 1;
  answered = 0;
  failures = [];
  /** Answers by placement. */
  placements = {};
  #latencies = [];

  constructor({ agents, digits, pictures }) {
    this.#agents = agents;
    this.#digits = digits;
    this.#pictures = pictures;
  }

  start() {
    for (const [i, agent] of this.#agents.entries()) {
      this.#loops.push(this.#loop(40, () => this.#digit(agent)));
      this.#loops.push(this.#loop(500 + 50 * i, () => this.#picture(agent)));
    }
  }

  async stop() {
    this.#stopped = true;
    await Promise.all(this.#loops);
  }

  /** Figures since the last call. */
  take() {
    const latencies = this.#latencies.sort((a, b) => a - b);
    const figures = {
      answered: this.answered,
      failed: this.failures.length,
      firstFailure: this.failures[0],
      placements: { ...this.placements },
      p99Ms: latencies[Math.floor(latencies.length * 0.99)],
    };
    this.answered = 0;
    this.failures = [];
    this.placements = {};
    this.#latencies = [];
    return figures;
  }

  async #digit(agent) {
    const golden = this.#digits[this.#seed % this.#digits.length];
    await this.#ask(agent, 'digits', digitInput(golden.pixels, 0.1, this.#seed));
  }

  async #picture(agent) {
    const picture = this.#pictures[this.#seed % this.#pictures.length];
    await this.#ask(agent, 'ocr-line', pictureInput('picture', picture.file), { cache: 'bypass' });
  }

  async #ask(agent, model, input, parameters) {
    this.#seed += 1;
    try {
      const answer = await infer(agent, model, input, parameters);
      this.answered += 1;
      const { placement } = answer.parameters;
      this.placements[placement] = (this.placements[placement] ?? 0) + 1;
      if (model === 'digits') this.#latencies.push(answer.totalMs);
    } catch (error) {
      this.failures.push(`${model} at ${agent}: ${error.message}`);
    }
  }

  async #loop(everyMs, work) {
    while (!this.#stopped) {
      const started = performance.now();
      await work();
      const restMs = everyMs - (performance.now() - started);
      if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs));
    }
  }
}
