// What a page does while it is shown, and ends when it is left.

import { on } from './events.js';

/** A page's life. */
export class Life {
  #controller = new AbortController();

  /** Aborts when the page is left. */
  get signal() { return this.#controller.signal; }

  /** Ends it. */
  end() { this.#controller.abort(); }

  /** Hears events of a kind. */
  on(kind, heard) { on(kind, heard, this.signal); }

  /** Does something now and again `ms` after it is done, while the page can be seen. Gives a function that does it at once. */
  every(ms, work) {
    let timer = 0;
    let busy = false;
    let again = false;
    const turn = async () => {
      clearTimeout(timer);
      if (this.signal.aborted) return;
      if (busy) { again = true; return; }
      busy = true;
      try {
        if (!document.hidden) await work();
      } catch (error) {
        if (error.name !== 'AbortError') throw error;
      } finally {
        busy = false;
        if (!this.signal.aborted) timer = setTimeout(turn, again ? 0 : ms);
        again = false;
      }
    };
    document.addEventListener('visibilitychange', () => { if (!document.hidden) void turn(); }, { signal: this.signal });
    void turn();
    return turn;
  }
}
