// The figures that document.py put on the page in; sums over any range of time out. Bins are merged as Python merges
// windows: numerators, denominators and histograms are added, and percentiles are read from the sum.

class Recording extends Bins {
  constructor(source, index) {
    super(source, index);
    this.filtered = source.facts.filter !== "all tasks";
    this.unpacked = {};
  }

  // The histograms of a name of PAGE.samples: an array of [bucket, count] pairs for each bin.
  histograms(name) {
    this.unpacked[name] ??= this.samples[name].counts.map((packed) => {
      const pairs = [];
      let bucket = 0;
      for (const n of packed) {
        if (n < 0) bucket -= n;
        else pairs.push([bucket++, n]);
      }
      return pairs;
    });
    return this.unpacked[name];
  }

  merged(name, range) {
    const counts = new Float64Array(PAGE.samples[name].buckets), [first, last] = this.within(range);
    const all = this.histograms(name);
    let largest = 0;
    for (let i = first; i < last; i++) {
      for (const [bucket, n] of all[i]) counts[bucket] += n;
      largest = Math.max(largest, this.samples[name].largest[i]);
    }
    return new Distribution(counts, largest, this.mean(name, range));
  }

  // A mean needs the sum of the samples, which the waits of all tasks do not have: null.
  mean(name, range) {
    const parts = { selected_wait: ["wakeup_wait_mean_ns", "preempt_wait_mean_ns"] }[name] ?? [`${name}_mean_ns`];
    const sums = parts.filter((part) => this.figures[part]).map((part) => this.sums(part, range));
    const n = sums.reduce((total, [, d]) => total + d, 0);
    return n ? sums.reduce((total, [s]) => total + s, 0) / n : null;
  }

  sums(figure, range) {
    const { n, d } = this.figures[figure], below = this.denominators[d], [first, last] = this.within(range);
    let a = 0, b = 0;
    for (let i = first; i < last; i++) { a += n[i]; b += below[i]; }
    return [a, b];
  }

  value(figure, range) {
    if (!this.figures[figure]) return null;
    const [a, b] = this.sums(figure, range);
    return b > 0 ? a / b : null;
  }

  // The value of each bin, or null.
  series(figure) {
    if (!this.figures[figure]) return null;
    const { n, d, low, high } = this.figures[figure], below = this.denominators[d];
    return { values: n.map((a, i) => (below[i] > 0 ? a / below[i] : null)), low, high };
  }

  losses(range) {
    const [first, last] = this.within(range);
    const sum = (counts) => counts.slice(first, last).reduce((a, b) => a + b, 0);
    return Object.entries(this.lost).map(([name, counts]) => [name, sum(counts)]).filter(([, n]) => n);
  }
}

// A histogram with its largest sample. A percentile is the upper edge of its bucket, and never above the largest.
class Distribution {
  constructor(counts, largest, mean) {
    Object.assign(this, { counts, largest, mean });
    this.edges = PAGE.edges[counts.length];
    this.n = counts.reduce((a, b) => a + b, 0);
  }

  percentile(q) {
    if (!this.n) return null;
    const rank = Math.max(1, Math.ceil(q * this.n));
    let seen = 0;
    for (let i = 0; i < this.counts.length; i++) {
      seen += this.counts[i];
      if (seen >= rank) return Math.min(this.edges[i + 1], this.largest || Infinity);
    }
    return this.largest;
  }

  // Share of the samples up to a duration. Only buckets that end at or below it count, except at the largest sample.
  below(ns) {
    let seen = 0;
    for (let i = 0; i < this.counts.length && this.edges[i + 1] <= ns; i++) seen += this.counts[i];
    return this.largest && ns >= this.largest ? 1 : seen / this.n;
  }
}

function percentileOf(pairs, buckets, q, largest) {
  const n = pairs.reduce((total, [, c]) => total + c, 0);
  const rank = Math.max(1, Math.ceil(q * n));
  let seen = 0;
  for (const [bucket, c] of pairs) {
    seen += c;
    if (seen >= rank) return Math.min(PAGE.edges[buckets][bucket + 1], largest || Infinity);
  }
  return null;
}

const RECORDINGS = PAGE.recordings.map((source, i) => new Recording(source, i));
