"use strict";

/* Speed without a change of pitch: WSOLA (W. Verhelst, M. Roelands: An overlap-add technique based on waveform
   similarity, 1993). Sound is laid out anew in short segments, each faded into the next. A segment is taken from
   where it is due, or from near it where it fits best to what the last one would have gone on with, so that waves
   join. All tracks are cut at the same places: they stay in step to the sample, and what was their sum still is.

   It works on decoded sound, before it is played, in plain script: an AudioWorklet would need a file of its own,
   which a page opened from disk may not load, and a secure context, which a server in a home network is not. */

const SEGMENT = 0.03; // seconds, in the result
const NEAR = 0.0125; // seconds, from where a segment is due: half a period of the lowest note
const COARSE = 8; // samples that count as one in the first look for the best place

/**
 * Lay out buffers of one length anew, `speed` times as fast. Second `margin` of theirs and second `margin + piece`, or
 * their end less a margin, are anchors, where nothing is moved: there a piece joins the next.
 * Returns the buffers, and the seconds in them before the first anchor.
 */
function stretched(context, buffers, speed, margin, piece) {
  const { sampleRate, length } = buffers[0];
  const first = Math.round(margin * sampleRate);
  const whole = Math.min(Math.round(piece * sampleRate), length - 2 * first);
  const places = fitting(mono(buffers), first, whole, speed, sampleRate);
  const last = places[places.length - 1].to;
  const made = buffers.map((buffer) => {
    const result = context.createBuffer(buffer.numberOfChannels, first + last + first, sampleRate);
    for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
      lay(buffer.getChannelData(channel), result.getChannelData(channel), places, first);
    }
    return result;
  });
  return { buffers: made, lead: first / sampleRate };
}

/** The sum of all channels of all tracks. */
function mono(buffers) {
  const sum = new Float32Array(buffers[0].length);
  for (const buffer of buffers) {
    for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
      const samples = buffer.getChannelData(channel);
      for (let k = 0; k < sum.length; k++) sum[k] += samples[k];
    }
  }
  return sum;
}

/** Where segments begin: at sample `at` of the sound, and `to` samples after the first anchor in the result. */
function fitting(sound, first, whole, speed, rate) {
  const coarse = Float32Array.from({ length: Math.floor(sound.length / COARSE) }, (_, k) => {
    let sum = 0;
    for (let j = 0; j < COARSE; j++) sum += sound[COARSE * k + j];
    return sum;
  });
  const count = Math.max(1, Math.round(whole / speed / (SEGMENT * rate)));
  const places = [{ at: first, to: 0 }];
  for (let k = 1; k <= count; k++) {
    const to = Math.round((k / count) * (whole / speed));
    const due = first + Math.round((k / count) * whole);
    const { at, to: before } = places[k - 1];
    const fade = to - before;
    // What the last segment goes on with, against what comes before each place near the due one.
    const look = (samples, scale, middle, reach, step) => {
      const size = Math.floor(fade / scale), from = Math.round(at / scale);
      let best = middle, most = -Infinity;
      for (let place = middle - reach; place <= middle + reach; place++) {
        if (place < size || place > samples.length) continue;
        let both = 0, energy = 1e-9;
        for (let j = 0; j < size; j += step) {
          const x = samples[place - size + j];
          both += x * samples[from + j];
          energy += x * x;
        }
        const fit = both / Math.sqrt(energy);
        if (fit > most) [best, most] = [place, fit];
      }
      return best;
    };
    const near = COARSE * look(coarse, COARSE, Math.round(due / COARSE), Math.round((NEAR * rate) / COARSE), 1);
    places.push({ at: k < count ? look(sound, 1, near, COARSE, 2) : due, to });
  }
  return places;
}

/** Write one channel: each segment goes on until the next has faded in. */
function lay(sound, result, places, first) {
  const rises = new Map(); // by length: there are two
  const rise = (fade) => {
    if (!rises.has(fade)) rises.set(fade, Float32Array.from({ length: fade }, (_, j) => 0.5 - 0.5 * Math.cos((Math.PI * (j + 0.5)) / fade)));
    return rises.get(fade);
  };
  result.set(sound.subarray(0, first));
  for (let k = 1; k < places.length; k++) {
    const { at, to } = places[k - 1];
    const next = places[k];
    const fade = next.to - to;
    const share = rise(fade);
    for (let j = 0; j < fade; j++) {
      const old = sound[at + j];
      result[first + to + j] = old + share[j] * (sound[next.at - fade + j] - old);
    }
  }
  const { at, to } = places[places.length - 1];
  result.set(sound.subarray(at, at + first), first + to);
}
