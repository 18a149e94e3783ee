// The figures of a page, and how they lie in time: bins that follow each other.

const PAGE = JSON.parse(document.getElementById("figures").textContent);
const COMPARED = PAGE.recordings.length > 1;

// Bins of time with figures: `start` and `end`, in nanoseconds since the first, and `lost`, counts of losses by name.
class Bins {
  constructor(source, index) {
    Object.assign(this, source);
    this.index = index;
    this.letter = COMPARED ? "AB"[index] : "";
    this.length = source.start.length;
    this.duration = source.end.at(-1);
  }

  // Bins that overlap a range of time: the first one, and one after the last.
  within([from, to]) {
    let first = 0, last = this.length;
    while (first < last && this.end[first] <= from) first++;
    while (last > first && this.start[last - 1] >= to) last--;
    return [first, last];
  }

  // The bin at a point in time, or -1.
  at(t) {
    let low = 0, high = this.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.start[middle] <= t) low = middle;
      else high = middle - 1;
    }
    return t >= this.start[low] && t <= this.end[low] ? low : -1;
  }

  lossesAt(i) {
    return Object.entries(this.lost).filter(([, counts]) => counts[i]).map(([name, counts]) => [name, counts[i]]);
  }
}
