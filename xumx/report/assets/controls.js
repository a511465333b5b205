
/* The controls: buttons, sliders, pictures and keys, all acting on one player. */

const SHORTEST = 0.2; // seconds, of a part to repeat

/**
 * Make the page's element, player.html, play.
 * piece(track, k): the MP3 file of piece k of a track as an ArrayBuffer, or a promise of one. Returns the
 * function that ends it all.
 */
function controls(page, piece) {
  const byId = (id) => document.getElementById(id);
  const ending = new AbortController();
  const { signal } = ending;
  const facts = {
    seconds: Number(page.dataset.seconds),
    piece: Number(page.dataset.piece),
    margin: Number(page.dataset.margin),
  };
  const rows = [...document.querySelectorAll(".stem")];
  const mix = byId("mix");
  const ownSound = "ownSound" in mix.dataset;

  const bytes = (track) => (k) => piece(track, k);
  const tracks = rows.map((row, k) => ({
    name: row.querySelector("h2 span").textContent, muted: false, solo: false, volume: 1, bytes: bytes(k),
  }));
  if (ownSound) tracks.push({ name: "Mix", volume: 1, original: true, bytes: bytes(rows.length) });
  const player = new Player(tracks, facts, new (window.AudioContext || window.webkitAudioContext)());
  window.xumxPlayer = player; // for the curious, and for tests

  const clock = (seconds) => {
    const whole = Math.floor(seconds), pad = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
    return (hours ? `${hours}:${pad(minutes)}` : minutes) + ":" + pad(whole % 60);
  };
  const say = (text) => { byId("status").textContent = text; };

  /* What is shown */

  let dragged = null; // the position that a drag has reached and the player has not
  let marked = null; // where a drag began that marks a part
  const seek = byId("seek");

  const showPosition = () => {
    const at = dragged ?? player.position;
    page.style.setProperty("--at", at / facts.seconds);
    page.classList.toggle("waiting", player.waiting);
    seek.value = at;
    seek.setAttribute("aria-valuetext", `${clock(at)} of ${clock(facts.seconds)}`);
    byId("now").textContent = clock(at);
  };
  const showPart = (from, to) => {
    page.style.setProperty("--from", from / facts.seconds);
    page.style.setProperty("--to", to / facts.seconds);
  };
  const show = () => {
    showPosition();
    showPart(player.part.from, player.part.to);
    byId("from").setAttribute("aria-pressed", player.part.from > 0);
    byId("to").setAttribute("aria-pressed", player.part.to < facts.seconds);
    byId("loop").setAttribute("aria-pressed", player.loop);
    byId("play").classList.toggle("playing", player.playing);
    byId("play").setAttribute("aria-label", player.playing ? "Pause" : "Play");
    rows.forEach((row, k) => {
      row.querySelector(".mute").setAttribute("aria-pressed", tracks[k].muted);
      row.querySelector(".solo").setAttribute("aria-pressed", tracks[k].solo);
      row.classList.toggle("silent", !player.audible(tracks[k]));
    });
    const whole = tracks.every((track) => player.audible(track) && track.volume === 1);
    byId("all").setAttribute("aria-pressed", ownSound ? player.original : whole);
  };

  /* What is done */

  const failed = () => {
    player.pause();
    show();
    say("This browser cannot play the sound of this page; the links lead to the files.");
    byId("status").className = "note";
  };
  const frame = () => {
    if (!player.playing) return show();
    showPosition();
    requestAnimationFrame(frame);
  };
  const toggle = () => {
    if (player.playing) player.pause();
    else {
      player.play().catch(failed);
      requestAnimationFrame(frame);
    }
    show();
    say(player.playing ? "Playing" : `Paused at ${clock(player.position)}`);
  };
  const seekTo = (position) => {
    dragged = null;
    player.seek(position).catch(failed);
    showPosition();
  };
  const within = (position) => Math.min(Math.max(position, 0), facts.seconds);
  const drag = (position) => {
    dragged = within(position);
    if (marked !== null) showPart(Math.min(marked, dragged), Math.max(marked, dragged));
    showPosition();
  };
  const set = (change, text) => {
    player.set(change).catch(failed);
    show();
    say(text);
  };
  /** Repeat from one position to another; a part that is too short to be one begins or ends with the song. */
  const repeat = (from, to, keep = "from") => {
    if (to - from < SHORTEST) [from, to] = keep === "from" ? [from, facts.seconds] : [0, to];
    if (to - from < SHORTEST) [from, to] = [0, facts.seconds];
    const all = !from && to === facts.seconds;
    set({ part: { from, to }, loop: !all }, all ? "No part" : `Repeats ${clock(from)} to ${clock(to)}`);
  };
  const setFrom = () => repeat(player.part.from ? 0 : player.position, player.part.to);
  const setTo = () => repeat(player.part.from, player.part.to < facts.seconds ? facts.seconds : player.position, "to");
  const setLoop = () => set({ loop: !player.loop }, player.loop ? "Stops at the end" : "Plays again at the end");
  const pressPointed = (what) => {
    const row = page.querySelector(".stem:focus-within") ?? page.querySelector(".stem:hover");
    if (row) press(rows.indexOf(row), what);
    else say("Point at a stem, or go to it by tab");
  };
  const mixAgain = (text) => {
    player.mix();
    show();
    say(text);
  };
  const press = (k, what) => {
    const track = tracks[k];
    track[what] = !track[what];
    player.original = false;
    const done = { muted: ["unmuted", "muted"], solo: ["not solo any more", "solo"] }[what];
    mixAgain(`${track.name} ${done[Number(track[what])]}`);
  };
  const hearMix = () => {
    if (ownSound) player.original = !player.original;
    else {
      rows.forEach((row, k) => {
        Object.assign(tracks[k], { muted: false, solo: false, volume: 1 });
        row.querySelector(".volume input").value = 1;
      });
    }
    mixAgain(ownSound && !player.original ? "The stems" : "The mix");
  };

  /* Who does it */

  byId("play").addEventListener("click", toggle);
  byId("loop").addEventListener("click", setLoop);
  byId("from").addEventListener("click", setFrom);
  byId("to").addEventListener("click", setTo);
  byId("speed").addEventListener("change", ({ target }) => {
    set({ speed: Number(target.value) }, `Speed ${target.selectedOptions[0].textContent}`);
    target.blur();
  });
  byId("all").addEventListener("click", hearMix);
  seek.addEventListener("input", () => drag(seek.valueAsNumber));
  seek.addEventListener("change", () => seekTo(seek.valueAsNumber));

  const slides = (slider, target) => slider.addEventListener("input", () => {
    target.volume = slider.valueAsNumber;
    slider.setAttribute("aria-valuetext", `${Math.round(100 * target.volume)} %`);
    player.mix();
    show();
  });
  slides(byId("volume"), player);
  rows.forEach((row, k) => {
    row.querySelector(".mute").addEventListener("click", () => press(k, "muted"));
    row.querySelector(".solo").addEventListener("click", () => press(k, "solo"));
    slides(row.querySelector(".volume input"), tracks[k]);
  });

  for (const pictures of document.querySelectorAll(".pictures")) {
    const position = (event) => {
      const { left, width } = pictures.getBoundingClientRect();
      return (facts.seconds * (event.clientX - left)) / width;
    };
    pictures.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      pictures.setPointerCapture(event.pointerId);
      marked = event.shiftKey ? within(position(event)) : null;
      drag(position(event));
    });
    pictures.addEventListener("pointermove", (event) => dragged !== null && drag(position(event)));
    pictures.addEventListener("pointerup", () => {
      if (dragged === null) return;
      if (marked === null) return seekTo(dragged);
      repeat(Math.min(marked, dragged), Math.max(marked, dragged));
      marked = null;
      seekTo(player.part.from);
    });
    pictures.addEventListener("pointercancel", () => { dragged = marked = null; show(); });
  }

  const letters = new Map(Object.entries({
    m: () => pressPointed("muted"), s: () => pressPointed("solo"), a: setFrom, b: setTo, l: setLoop,
  }));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target !== document.body && !page.contains(event.target)) return; // keys of what is beside it
    const onButton = event.target.matches("button");
    const onVolume = event.target.matches("input:not(#seek)");
    if (event.target.matches("select")) return;
    const arrow = { ArrowLeft: -5, ArrowRight: 5 }[event.key];
    const [, digit] = /^(?:Digit|Numpad)(\d)$/.exec(event.code) ?? [];
    if (arrow && !onVolume) seekTo(player.position + arrow);
    else if (event.key === "Home" && !onVolume) seekTo(0);
    else if (event.key === "End" && !onVolume) seekTo(facts.seconds);
    else if (event.repeat) return;
    else if (event.key === " " && !onButton) toggle();
    else if (digit === "0") hearMix();
    else if (digit <= rows.length) press(digit - 1, event.shiftKey ? "solo" : "muted");
    else if (letters.has(event.key.toLowerCase())) letters.get(event.key.toLowerCase())();
    else return;
    event.preventDefault();
  }, { signal });
  // A mouse leaves no focus behind, so that space and the arrows keep their meaning.
  page.addEventListener("pointerup", (event) => {
    if (event.pointerType === "mouse") event.target.closest("button, input")?.blur();
  });

  show();
  return () => {
    ending.abort();
    player.pause();
    player.context.close();
  };
}
