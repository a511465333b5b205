"use strict";

/* The sound of the page: pieces of all tracks, decoded as they are needed and started together on one clock. */

const FADE = 0.02; // seconds, from one piece to the next, and wherever sound begins or ends
const LEAD = 0.05; // seconds between the order to play and the sound, so that no track is ordered too late
const AHEAD = 5; // seconds before a piece sounds it is made ready: decoding and stretching take a moment

class Player {
  /**
   * tracks: objects {bytes(k), muted, solo, volume, original}; bytes gives the MP3 file of piece k as an
   * ArrayBuffer or a promise of one, and an original is the song itself, heard instead of the others.
   */
  constructor(tracks, { seconds, piece, margin }, context) {
    Object.assign(this, { tracks, seconds, piece, margin, context });
    this.count = Math.ceil(seconds / piece);
    this.original = false; // whether it is heard
    this.loop = false; // whether the end of the part leads to its beginning
    this.part = { from: 0, to: seconds };
    this.speed = 1; // pitch stays
    this.volume = 1;
    this.at = 0; // where playing began, or begins next
    this.spans = []; // of the song, {from, to, when}, as they were ordered: when is on the context's clock
    this.run = null; // what is going on from a play to the next pause
    this.decodings = new Map();
    this.stretched = new Map();
    this.sources = new Map(); // that play or will, and the gains of their fades
    this.master = context.createGain();
    this.master.connect(context.destination);
    this.gains = tracks.map(() => {
      const gain = context.createGain();
      gain.connect(this.master);
      return gain;
    });
    this.mix(0);
  }

  get playing() {
    return this.run !== null;
  }

  /** Whether it has been told to play and nothing sounds yet. */
  get waiting() {
    return this.playing && !this.spans.some(({ when }) => when <= this.context.currentTime);
  }

  get position() {
    const now = this.context.currentTime;
    const span = [...this.spans].reverse().find(({ when }) => when <= now);
    return span ? Math.min(span.from + (now - span.when) * this.speed, span.to) : this.at;
  }

  audible(track) {
    if (this.original || track.original) return this.original && Boolean(track.original);
    return this.tracks.some((other) => other.solo) ? track.solo : !track.muted;
  }

  /** The gain of a track beside the others, which mute, solo and its volume call for. */
  gain(track) {
    return this.audible(track) ? track.volume ** 2 : 0;
  }

  /** Give each track its gain, within a few times `fade` seconds. */
  mix(fade = FADE / 2) {
    const set = (node, gain) => {
      if (fade) node.gain.setTargetAtTime(gain, this.context.currentTime, fade);
      else node.gain.value = gain;
    };
    set(this.master, this.volume ** 2);
    this.tracks.forEach((track, k) => set(this.gains[k], this.gain(track)));
  }

  /** Promise of piece k of every track; those around it are kept. */
  decoded(k) {
    for (const other of this.decodings.keys()) if (Math.abs(other - k) > 1) this.decodings.delete(other);
    if (!this.decodings.has(k)) {
      const decode = async (track) => this.context.decodeAudioData(await track.bytes(k));
      this.decodings.set(k, Promise.all(this.tracks.map(decode)));
    }
    return this.decodings.get(k);
  }

  /** Promise of piece k of every track at the speed that is set: the buffers, and where in them it begins. */
  async prepared(k) {
    const buffers = await this.decoded(k);
    if (this.speed === 1) return { buffers, lead: this.margin };
    const key = `${k} ${this.speed}`;
    if (!this.stretched.has(key)) {
      if (this.stretched.size > 2) this.stretched.clear();
      this.stretched.set(key, stretched(this.context, buffers, this.speed, this.margin, this.piece));
    }
    return this.stretched.get(key);
  }

  /** A time on the context's clock, at the nearest whole sample: between them sound is dulled. */
  whole(time) {
    return Math.round(time * this.context.sampleRate) / this.context.sampleRate;
  }

  /** Start piece k of every track: seconds `from` to `to` of the song, at `when` on the context's clock. */
  begin(k, { buffers, lead }, { from, to, when }) {
    const half = FADE / 2;
    const end = when + (to - from) / this.speed;
    const rise = from ? FADE : half; // across the join, or before the song's first sample
    const fall = to < this.seconds ? FADE : half;
    buffers.forEach((buffer, track) => {
      const source = this.context.createBufferSource();
      const fade = this.context.createGain();
      source.buffer = buffer;
      source.connect(fade).connect(this.gains[track]);
      fade.gain.setValueAtTime(0, when - half);
      fade.gain.linearRampToValueAtTime(1, when - half + rise);
      fade.gain.setValueAtTime(1, end + half - fall);
      fade.gain.linearRampToValueAtTime(0, end + half);
      source.start(when - half, lead + (from - k * this.piece) / this.speed - half, end - when + FADE);
      source.onended = () => this.sources.delete(source);
      this.sources.set(source, fade);
    });
  }

  async play() {
    const run = (this.run = {});
    this.context.resume(); // at once, since browsers allow it only where the user has just acted
    const { loop, part, speed } = this;
    const stop = loop && this.at < part.to + FADE ? part.to : this.seconds;
    if (this.at >= stop) this.at = loop ? part.from : 0;
    let from = this.at, due = 0;
    for (let end = stop; from < end; ) {
      const k = Math.min(Math.floor(from / this.piece), this.count - 1);
      const piece = await this.prepared(k);
      if (this.run !== run) return;
      // Where a piece comes late, the song waits for it.
      const when = this.whole(Math.max(due, this.context.currentTime + LEAD));
      const to = Math.min((k + 1) * this.piece, end);
      const span = { from, to, when };
      this.begin(k, piece, span);
      this.spans = [...this.spans.slice(-60), span];
      due = when + (to - from) / speed;
      from = to;
      if (from >= end && loop) ({ from, to: end } = part);
      await this.reach(when - AHEAD, run);
    }
    await this.reach(due, run);
    if (this.run === run) this.pause(0);
  }

  /** Promise of the moment when the context's clock is there, or the run is over. */
  async reach(time, run) {
    while (this.run === run && this.context.currentTime < time) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  pause(at = this.position) {
    this.at = at;
    this.spans = [];
    this.run = null;
    const now = this.context.currentTime;
    for (const [source, fade] of this.sources) {
      fade.gain.cancelScheduledValues(now);
      fade.gain.setTargetAtTime(0, now, FADE / 4);
      source.stop(now + 2 * FADE);
    }
    this.sources.clear();
    setTimeout(() => this.playing || this.context.suspend(), 1000); // an idle context costs a phone's battery
  }

  async seek(position) {
    const playing = this.playing;
    this.pause(Math.min(Math.max(position, 0), this.seconds));
    if (playing && (this.loop || this.at < this.seconds)) await this.play();
  }

  /** Change `loop`, `part` or `speed`; what plays goes on from where it is. */
  async set(change) {
    const at = this.position;
    Object.assign(this, change);
    await this.seek(at);
  }
}
