
/* The sound of a page that stands alone lies within it. */

controls(document.getElementById("page"), (track, k) => {
  const { textContent } = document.getElementById(`sound-${track}-${k}`);
  return Uint8Array.from(atob(textContent), (letter) => letter.charCodeAt(0)).buffer;
});
saves(document.getElementById("save"), xumxPlayer, `${document.querySelector("h1").textContent} - mix`);
