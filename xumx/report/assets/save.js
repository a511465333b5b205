"use strict";

/* The mix as a file: what a player's tracks sum to, with the gains that they have now. */

const WAV_RATE = 44100; // Hz, to which the browser decodes here whatever its speakers want
const LARGEST = 32767; // sample of 16 bits

/**
 * Promise of the whole song as it is heard, at its own speed: a Blob of a WAV file, 16 bits, stereo. What would be
 * beyond full scale makes all of it softer. It is mixed piece by piece, so that little is decoded at a time.
 * told: called with the share that is done.
 */
async function mixdown(player, told) {
  const { seconds, piece, margin, volume } = player;
  const heard = player.tracks.map((track) => ({ track, gain: player.gain(track) * volume ** 2 })).filter(({ gain }) => gain);
  const decoder = new OfflineAudioContext(2, 1, WAV_RATE);
  const [first, size, fade] = [margin, piece, FADE].map((length) => Math.round(length * WAV_RATE));
  const total = Math.round(seconds * WAV_RATE);

  /** The sum of piece k and, of `fade` samples more, what the next begins with; for each channel. */
  const sum = async (k) => {
    const count = Math.min(size, total - k * size) + fade;
    const sums = [new Float32Array(count), new Float32Array(count)];
    const decode = async ({ track }) => decoder.decodeAudioData(await track.bytes(k));
    (await Promise.all(heard.map(decode))).forEach((buffer, n) => {
      sums.forEach((result, channel) => {
        const samples = buffer.getChannelData(Math.min(channel, buffer.numberOfChannels - 1));
        for (let j = 0; j < count && first + j < samples.length; j++) result[j] += heard[n].gain * samples[first + j];
      });
    });
    return sums;
  };
  const mixed = async (scale) => {
    const parts = [];
    let peak = 0, before = null;
    for (let k = 0; k < player.count; k++) {
      const sums = await sum(k);
      const count = sums[0].length - fade;
      const samples = new DataView(new ArrayBuffer(4 * count));
      sums.forEach((result, channel) => {
        for (let j = 0; before && j < Math.min(fade, count); j++) result[j] += (1 - (j + 0.5) / fade) * (before[channel][j] - result[j]);
        for (let j = 0; j < count; j++) {
          const x = scale * result[j];
          peak = Math.max(peak, Math.abs(x));
          samples.setInt16(4 * j + 2 * channel, Math.round(LARGEST * Math.min(Math.max(x, -1), 1)), true);
        }
      });
      before = sums.map((result) => result.slice(count));
      parts.push(samples);
      told((k + 1) / player.count);
    }
    return { parts, peak };
  };

  let { parts, peak } = await mixed(1);
  if (peak > 1) ({ parts } = await mixed(1 / peak));
  return new Blob([wavHeader(total), ...parts], { type: "audio/wav" });
}

/** The 44 bytes before so many stereo samples of 16 bits. */
function wavHeader(samples) {
  const header = new DataView(new ArrayBuffer(44));
  const text = (at, letters) => [...letters].forEach((letter, k) => header.setUint8(at + k, letter.charCodeAt(0)));
  const sizes = { 4: 36 + 4 * samples, 16: 16, 24: WAV_RATE, 28: 4 * WAV_RATE, 40: 4 * samples };
  text(0, "RIFF");
  text(8, "WAVEfmt ");
  text(36, "data");
  for (const [at, size] of Object.entries(sizes)) header.setUint32(Number(at), size, true);
  for (const [at, number] of [[20, 1], [22, 2], [32, 4], [34, 16]]) header.setUint16(at, number, true);
  return header;
}

/** Make a button save the mix of a player under a name. */
function saves(button, player, name) {
  const label = button.querySelector("span");
  const status = document.getElementById("status");
  const { textContent } = label;
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const file = await mixdown(player, (share) => { label.textContent = `${Math.round(100 * share)} %`; });
      const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(file), download: `${name}.wav` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
      status.textContent = "The mix is saved";
    } catch {
      status.textContent = "This browser cannot save the mix; the links lead to the stems.";
      status.className = "note";
    }
    label.textContent = textContent;
    button.disabled = false;
  });
}
