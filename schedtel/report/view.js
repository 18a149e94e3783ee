// The range of time that all charts show, over the bins of all RECORDINGS.

const WHOLE = [0, Math.max(...RECORDINGS.map((r) => r.duration))];

// The range of time on display. Functions that draw it are in `listeners`.
const view = {
  range: WHOLE,
  listeners: [],
  show(from, to) {
    // At least two bins: there is no finer resolution than a bin.
    const least = 2 * Math.min(...RECORDINGS.map((r) => r.duration / r.length));
    const middle = (from + to) / 2, span = Math.min(WHOLE[1], Math.max(least, to - from));
    const start = Math.min(Math.max(0, middle - span / 2), WHOLE[1] - span);
    this.range = [start, start + span];
    this.listeners.forEach((listen) => listen());
  },
  get zoomed() { return this.range[1] - this.range[0] < WHOLE[1] * 0.9999; },
};
