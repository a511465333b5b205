"use strict";

/* The sound of the page: pieces of all tracks, decoded as they are needed and started together on one clock. */

const FADE = 0.02; // seconds, from one piece to the next, and wherever sound begins or ends
const LEAD = 0.05; // seconds between the order to play and the sound, so that no track is ordered too late

class Player {
  /**
   * tracks: objects {bytes(k), muted, solo, volume, original}; bytes gives the MP3 file of piece k as an
   * ArrayBuffer or a promise of one, and an original is the song itself, heard instead of the others.
   */
  constructor(tracks, { seconds, piece, margin }, context) {
    Object.assign(this, { tracks, seconds, piece, margin, context });
    this.count = Math.ceil(seconds / piece);
    this.original = false; // whether it is heard
    this.loop = false; // whether the end leads to the beginning
    this.volume = 1;
    this.at = 0; // where playing began, or begins next
    this.origin = Infinity; // when second 0 of the song was or would have been, on the context's clock
    this.run = null; // what is going on from a play to the next pause
    this.decodings = new Map();
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

  get position() {
    return Math.min(Math.max(this.context.currentTime - this.origin, this.at), this.seconds);
  }

  audible(track) {
    if (this.original || track.original) return this.original && track.original;
    return this.tracks.some((other) => other.solo) ? track.solo : !track.muted;
  }

  /** Give each track the gain that mute, solo and volume call for, within a few times `fade` seconds. */
  mix(fade = FADE / 2) {
    const set = (gain, volume) => {
      if (fade) gain.gain.setTargetAtTime(volume ** 2, this.context.currentTime, fade);
      else gain.gain.value = volume ** 2;
    };
    set(this.master, this.volume);
    this.tracks.forEach((track, k) => set(this.gains[k], this.audible(track) ? track.volume : 0));
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

  /** The time on the context's clock, of `seconds` from now, at a whole sample: between them sound is dulled. */
  soon(seconds) {
    const { currentTime, sampleRate } = this.context;
    return Math.round((currentTime + seconds) * sampleRate) / sampleRate;
  }

  /** Start piece k of every track when it is due, or in its middle if that has passed. */
  begin(k, buffers) {
    const due = this.origin + k * this.piece - FADE / 2;
    const length = this.piece + FADE;
    const when = Math.max(due, this.soon(LEAD / 2));
    const late = when - due;
    if (late > length - 2 * FADE) return;
    const rise = k && !late ? FADE : FADE / 2; // across the join, or before the song's first sample
    buffers.forEach((buffer, track) => {
      const source = this.context.createBufferSource();
      const fade = this.context.createGain();
      source.buffer = buffer;
      source.connect(fade).connect(this.gains[track]);
      fade.gain.setValueAtTime(0, when);
      fade.gain.linearRampToValueAtTime(1, when + rise);
      fade.gain.setValueAtTime(1, due + length - FADE);
      fade.gain.linearRampToValueAtTime(0, due + length);
      source.start(when, this.margin - FADE / 2 + late, length - late);
      source.onended = () => this.sources.delete(source);
      this.sources.set(source, fade);
    });
  }

  async play() {
    if (this.at >= this.seconds) this.at = 0;
    const run = (this.run = {});
    this.context.resume(); // at once, since browsers allow it only where the user has just acted
    let k = Math.min(Math.floor(this.at / this.piece), this.count - 1);
    const first = await this.decoded(k);
    if (this.run !== run) return;
    this.origin = this.soon(LEAD - this.at);
    this.begin(k, first);
    while (++k < this.count) {
      await this.reach((k - 1) * this.piece, run);
      const next = await this.decoded(k);
      if (this.run !== run) return;
      this.begin(k, next);
    }
    await this.reach(this.seconds, run);
    if (this.run !== run) return;
    this.pause(0);
    if (this.loop) await this.play();
  }

  /** Promise of the moment when the song is at this position, or the run is over. */
  async reach(position, run) {
    while (this.run === run && this.context.currentTime - this.origin < position) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  pause(at = this.position) {
    this.at = at;
    this.origin = Infinity;
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
    if (playing) await this.play();
  }
}
