"use strict";

/* The page of the server: what goes in, what happens, what comes out. Text is put in as text, never as HTML. */

(() => {
  const byId = (id) => document.getElementById(id);
  const form = byId("new");
  const list = byId("list");

  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const say = (text) => { byId("news").textContent = text; };
  const clock = (seconds) => {
    const whole = Math.round(seconds), pad = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
    return (hours ? `${hours}:${pad(minutes)}` : minutes) + ":" + pad(whole % 60);
  };
  const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

  /** What the server answers, or an error with its sentence. */
  const ask = async (path, options) => {
    let answer;
    try {
      answer = await fetch(path, options);
    } catch {
      throw new Error("The server does not answer.");
    }
    if (answer.ok) return answer;
    const { error } = await answer.json().catch(() => ({}));
    if (answer.status === 401) askForToken();
    throw new Error(sentence(error ?? `the server answers ${answer.status}`));
  };
  const without = (name, text) => (text.startsWith(`${name}: `) ? text.slice(name.length + 2) : text);
  const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

  /* The token */

  const askForToken = () => {
    byId("inside").hidden = true;
    byId("entry").hidden = false;
    byId("token").focus();
  };
  byId("entry").addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await fetch("api/enter", { method: "POST", body: byId("token").value }).catch(() => null);
    if (answer?.ok) location.reload();
    else {
      const { error } = (await answer?.json().catch(() => null)) ?? { error: "the server does not answer" };
      byId("entry-error").textContent = sentence(error);
    }
  });

  /* What is asked for */

  let server, models;
  const option = (value, text = value) => make("option", { value, textContent: text });
  const stems = () => models.find((model) => model.name === byId("model").value).stems;

  const showStems = () => {
    const chosen = stems();
    form.elements.two_stems.replaceChildren(...chosen.map((stem) => option(stem)));
    if (chosen.includes("vocals")) form.elements.two_stems.value = "vocals";
    const boxes = chosen.map((stem) => make("label", {}, make("input", { type: "checkbox", name: "targets", value: stem, checked: true }), stem));
    byId("some").replaceChildren(byId("some").querySelector("legend"), ...boxes);
  };
  const showWhich = () => {
    byId("some").hidden = byId("which").value !== "some";
    byId("two").hidden = byId("which").value !== "two";
  };
  const chosen = () => {
    const which = byId("which").value;
    const given = new FormData(form);
    if (which !== "some") given.delete("targets");
    if (which !== "two") given.delete("two_stems");
    return [...given].filter(([name, value]) => typeof value === "string" && value !== "" && name);
  };

  /* Uploads: one after the other, so that the first songs begin soon */

  const waiting = [];
  let sending = null;

  const add = (files) => {
    if (!form.reportValidity()) return;
    if (byId("which").value === "some" && !chosen().some(([name]) => name === "targets")) {
      say("Choose a stem at least.");
      byId("some").querySelector("input").focus();
      return;
    }
    const options = chosen();
    for (const file of files) {
      const row = uploadRow(file, options);
      list.prepend(row.element);
      if (file.size > server.max_upload) row.failed(`${file.name} is larger than the ${megabytes(server.max_upload)} that this server takes.`);
      else waiting.push(row);
    }
    byId("none").hidden = list.children.length > 0;
    next();
  };

  const next = () => {
    if (!sending && waiting.length) {
      sending = waiting.shift();
      sending.send();
    }
  };

  const uploadRow = (file, options) => {
    const text = make("p", { textContent: "Waits to be sent" });
    const bar = make("progress", { max: 1, value: 0, ariaLabel: `Sending ${file.name}` });
    const stop = make("button", { type: "button", textContent: "Cancel", ariaLabel: `Cancel ${file.name}` });
    const again = make("button", { type: "button", textContent: "Try again", hidden: true });
    const element = make("li", { className: "job" }, make("div", { className: "line" },
      make("div", { className: "what" }, make("h3", { textContent: file.name }), text, bar),
      make("div", { className: "buttons" }, again, stop)));
    let request = null;
    const row = {
      element,
      failed(why, retry = false) {
        text.textContent = why;
        element.classList.add("failed");
        bar.hidden = true;
        stop.textContent = "Remove";
        again.hidden = !retry;
        say(why);
      },
      send() {
        request = new XMLHttpRequest();
        const body = new FormData();
        for (const [name, value] of options) body.append(name, value);
        body.append("file", file);
        request.upload.addEventListener("progress", ({ loaded, total }) => {
          bar.value = loaded / total;
          text.textContent = loaded < total ? `Sending, ${megabytes(loaded)} of ${megabytes(total)}` : "The server looks at it";
        });
        request.addEventListener("loadend", () => {
          if (sending === row) sending = null;
          answered();
          next();
        });
        request.open("POST", "api/jobs");
        request.send(body);
      },
    };
    const answered = () => {
      let found = {};
      try { found = JSON.parse(request.responseText); } catch { /* none came */ }
      if (request.status === 401) askForToken();
      if (!request.status) row.failed("It could not be sent: the connection broke off.", true);
      else if (request.status >= 400) row.failed(sentence(without(file.name, found.error ?? `the server answers ${request.status}`)), request.status >= 500 || request.status === 429);
      else {
        element.remove();
        show(found);
        say(found.again ? `${found.name} is here already, with the same choices.` : `${file.name} is in the queue.`);
        if (found.again) note(`${file.name} is here already, with the same choices.`);
      }
    };
    stop.addEventListener("click", () => {
      if (waiting.includes(row)) waiting.splice(waiting.indexOf(row), 1);
      if (sending === row) sending = null;
      element.remove();
      byId("none").hidden = list.children.length > 0;
      request?.abort();
      next();
    });
    again.addEventListener("click", () => {
      element.classList.remove("failed");
      bar.hidden = false;
      again.hidden = true;
      stop.textContent = "Cancel";
      text.textContent = "Waits to be sent";
      waiting.push(row);
      next();
    });
    return row;
  };

  /* Songs */

  const rows = new Map(); // id to what is shown of it

  const doing = (job) => {
    const music = job.total ? `, ${clock(job.done)} of ${clock(job.total)}` : "";
    switch (job.stage) {
      case "downloading": return `Downloads the network, ${megabytes(job.done)}${job.total ? ` of ${megabytes(job.total)}` : ""}`;
      case "separating": return `Separating${music}`;
      case "encoding": return `Writing the stems${music}`;
      case "drawing": return `Preparing to play${music}`;
      default: return "Loading the network";
    }
  };
  const about = (job) => {
    const options = Object.entries(job.options)
      .filter(([name]) => name !== "model")
      .map(([name, value]) => `${name.replaceAll("_", " ")} ${Array.isArray(value) ? value.join(", ") : typeof value === "object" ? JSON.stringify(value) : value}`);
    return [job.seconds ? clock(job.seconds) : null, job.options.model.join(" + "), ...options].filter(Boolean).join(" · ");
  };

  const show = (job) => {
    let row = rows.get(job.id);
    if (!row) {
      row = jobRow(job);
      rows.set(job.id, row);
      list.prepend(row.element);
    }
    row.show(job);
    byId("none").hidden = list.children.length > 0;
  };

  const jobRow = ({ id, name }) => {
    const path = `api/jobs/${id}`;
    const text = make("p"), more = make("p"), bar = make("progress", { max: 1, ariaLabel: `Progress of ${name}` });
    const listen = make("button", { type: "button", className: "go", textContent: "Listen", ariaLabel: `Listen to ${name}`, ariaExpanded: "false" });
    const all = make("a", { href: `${path}/zip`, textContent: "All as zip", ariaLabel: `All as zip, ${name}` });
    const remove = make("button", { type: "button", textContent: "Remove", ariaLabel: `Remove ${name}` });
    all.setAttribute("download", "");
    const place = make("div", { className: "open", hidden: true });
    const element = make("li", { className: "job" },
      make("div", { className: "line" },
        make("div", { className: "what" }, make("h3", { textContent: name }), text, more, bar),
        make("div", { className: "buttons" }, listen, all, remove)),
      place);
    let status = "";
    const row = {
      element, name, status: () => status, listen, place,
      show(job) {
        const before = status;
        status = job.status;
        element.dataset.status = status;
        element.classList.toggle("failed", status === "failed");
        listen.hidden = all.hidden = status !== "done";
        bar.hidden = status !== "running" && status !== "queued";
        if (status === "running" && job.stage === "downloading") job.total ? (bar.value = job.done / job.total) : bar.removeAttribute("value");
        else bar.value = job.progress;
        text.textContent = { queued: "Waits for its turn", running: doing(job), done: about(job), failed: sentence(without(name, job.error || "it failed")) }[status];
        more.textContent = status === "done" ? "" : about(job);
        if (before && before !== status && status === "done") say(`${name} is done.`);
        if (before && before !== status && status === "failed") say(`${name}: ${without(name, job.error)}`);
      },
      gone() {
        if (playing?.row === row) close();
        element.remove();
        rows.delete(id);
        byId("none").hidden = list.children.length > 0;
      },
    };
    listen.addEventListener("click", () => (playing?.row === row ? close() : open(id, row)));
    remove.addEventListener("click", async () => {
      remove.disabled = true;
      try {
        await ask(path, { method: "DELETE" });
      } catch (error) {
        note(error.message);
      }
      say(`${name} is removed.`);
      row.gone();
    });
    return row;
  };

  /* Listening */

  let playing = null;

  const close = () => {
    playing.end();
    playing.row.place.hidden = true;
    playing.row.place.replaceChildren();
    playing.row.listen.textContent = "Listen";
    playing.row.listen.ariaExpanded = "false";
    playing = null;
  };

  const open = async (id, row) => {
    const path = `api/jobs/${id}`;
    let text;
    try {
      text = await (await ask(`${path}/player`)).text();
    } catch (error) {
      note(error.message);
      return;
    }
    if (playing) close();
    // The page's policy forbids styles in HTML; those of the player are set one by one.
    const template = make("template", { innerHTML: text.replaceAll(' style="', ' data-style="') });
    for (const element of template.content.querySelectorAll("[data-style]")) element.style.cssText = element.dataset.style;
    const main = template.content.firstElementChild;
    const player = make("div", { id: "page" });
    Object.assign(player.dataset, main.dataset);
    player.append(...main.childNodes);
    const mixdown = make("button", { type: "button", textContent: "Download this mix" });
    const done = make("button", { type: "button", textContent: "Close" });
    row.place.replaceChildren(player, make("div", { className: "buttons below" }, mixdown, done));
    row.place.hidden = false;
    row.listen.textContent = "Close";
    row.listen.ariaExpanded = "true";
    const piece = async (track, k) => (await ask(`${path}/sound/${track}-${k}.mp3`)).arrayBuffer();
    playing = { row, end: controls(player, piece) };
    done.addEventListener("click", () => { close(); row.listen.focus(); });
    mixdown.addEventListener("click", () => mix(path, mixdown));
    byId("play").focus();
  };

  /** Save the sum of the stems as they are heard now. */
  const mix = async (path, button) => {
    const { tracks, volume } = xumxPlayer;
    const query = new URLSearchParams();
    for (const track of tracks) {
      if (track.original) continue;
      const gain = xumxPlayer.audible(track) ? (track.volume * volume) ** 2 : 0;
      query.append("gain", `${track.name}:${gain.toFixed(4)}`);
    }
    button.disabled = true;
    button.textContent = "Mixing…";
    try {
      const answer = await ask(`${path}/mix?${query}`);
      const [, name] = /filename\*=UTF-8''([^;]+)/.exec(answer.headers.get("content-disposition")) ?? [];
      const link = make("a", { href: URL.createObjectURL(await answer.blob()), download: decodeURIComponent(name ?? "mix") });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    } catch (error) {
      note(error.message);
    }
    button.disabled = false;
    button.textContent = "Download this mix";
  };

  /* What the server tells */

  const note = (text) => {
    byId("lost").textContent = text;
    byId("lost").hidden = !text;
  };
  const connect = () => {
    const events = new EventSource("api/events");
    const on = (name, act) => events.addEventListener(name, ({ data }) => act(JSON.parse(data)));
    let lost = false;
    events.addEventListener("error", () => {
      lost = true;
      note("The server does not answer; what it has promised it does when it is there again.");
      if (events.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
    });
    on("jobs", (jobs) => {
      if (lost) note("");
      lost = false;
      const there = new Set(jobs.map(({ id }) => id));
      for (const [id, row] of [...rows]) if (!there.has(id)) row.gone();
      jobs.forEach(show);
    });
    on("job", show);
    on("gone", ({ id }) => rows.get(id)?.gone());
    on("notice", ({ text }) => note(text));
  };

  /* Beginning */

  const begin = async () => {
    try {
      [server, models] = await Promise.all(["api/server", "api/models"].map(async (path) => (await ask(path)).json()));
    } catch (error) {
      if (byId("entry").hidden) {
        note(error.message);
        setTimeout(begin, 2000);
      }
      return;
    }
    note("");
    byId("inside").hidden = false;
    byId("model").replaceChildren(...models.map(({ name }) => option(name)));
    byId("model").value = models.find((model) => model.default).name;
    for (const [name, values] of Object.entries(server.choices)) form.elements[name]?.append(...values.map((value) => option(value)));
    byId("limits").textContent = `up to ${megabytes(server.max_upload)} and ${clock(server.max_duration)}`;
    showStems();
    showWhich();
    connect();
  };

  byId("model").addEventListener("change", showStems);
  byId("which").addEventListener("change", showWhich);
  form.addEventListener("submit", (event) => event.preventDefault());
  byId("files").addEventListener("change", ({ target }) => {
    add([...target.files]);
    target.value = "";
  });
  const drop = byId("drop");
  const over = (event) => {
    event.preventDefault();
    drop.classList.toggle("over", event.type === "dragover");
  };
  for (const kind of ["dragover", "dragleave", "drop"]) document.addEventListener(kind, over);
  document.addEventListener("drop", ({ dataTransfer }) => server && add([...dataTransfer.files]));

  begin();
})();
