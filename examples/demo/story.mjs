// Tells the demo's story: each chapter with its figures and time; a chapter that fails ends it by name.

export class ChapterFailed extends Error {
  constructor(chapter, cause) {
    super(`${chapter}: ${cause.message}`, { cause });
    this.chapter = chapter;
  }
}

export class Story {
  #quiet;
  #started = performance.now();
  chapters = [];

  /** `quiet`: only the summary is wanted. */
  constructor({ quiet }) {
    this.#quiet = quiet;
  }

  async chapter(name, work) {
    const started = performance.now();
    this.#print(`\n${String(this.chapters.length + 1).padStart(2)}. ${name}`);
    const figures = {};
    try {
      await work({ say: (line) => this.say(line), figure: (key, value) => (figures[key] = value) });
    } catch (error) {
      this.chapters.push({ name, ok: false, error: error.message });
      throw new ChapterFailed(name, error);
    }
    const seconds = (performance.now() - started) / 1000;
    this.chapters.push({ name, ok: true, seconds: Number(seconds.toFixed(1)), ...figures });
    this.#print(`    ${seconds.toFixed(1)} s`);
  }

  say(text) {
    for (const line of text.trimEnd().split('\n')) this.#print(`    ${line}`);
  }

  get seconds() {
    return Number(((performance.now() - this.#started) / 1000).toFixed(1));
  }

  #print(line) {
    if (!this.#quiet) console.log(line);
  }
}
