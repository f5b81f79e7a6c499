/* What both editors of a template share: a preview that follows, saving without leaving. */
(() => {
  "use strict";

  const DEBOUNCE_MS = 350;
  const MAIL_WIDTH = 640;
  const byId = (id) => document.getElementById(id);

  /* Room for a mail of 600 pixels, made by showing it smaller. */
  const sizes = new ResizeObserver((entries) => {
    for (const { target } of entries)
      target.style.setProperty("--fit", String(Math.min(1, target.clientWidth / MAIL_WIDTH)));
  });
  document.querySelectorAll(".te-stage, .te-thumb").forEach((one) => sizes.observe(one));

  /* `fill` writes the form before it is sent; `shown` follows a new preview, `refused` a fault. */
  window.templateDesk = (form, { fill = () => {}, shown = () => {}, refused = () => {} } = {}) => {
    const canSave = form.hasAttribute("data-can-save");
    let isDirty = false;
    let previewing = null;
    let timer = 0;

    function tell(text, tone) {
      const state = byId("te-state");
      state.textContent = text;
      state.className = `te-state ms-muted ${tone}`;
    }

    /* --- preview --- */

    function touched() {
      isDirty = true;
      tell("Not saved", "");
      soon();
    }

    function soon() {
      clearTimeout(timer);
      timer = setTimeout(preview, DEBOUNCE_MS);
    }

    async function preview() {
      previewing?.abort();
      const own = (previewing = new AbortController());
      byId("te-busy").hidden = false;
      fill();
      try {
        const reply = await fetch(form.dataset.preview, {
          method: "POST",
          body: new FormData(form),
          credentials: "same-origin",
          signal: own.signal,
        });
        if (!reply.ok || reply.redirected) throw new Error(String(reply.status));
        const page = new DOMParser().parseFromString(await reply.text(), "text/html");
        if (own === previewing) show(page.getElementById("look"));
      } catch (error) {
        if (error.name !== "AbortError") tell("No preview: the server does not answer.", "is-bad");
      } finally {
        if (own === previewing) byId("te-busy").hidden = true;
      }
    }

    function show(fresh) {
      if (!fresh) return;
      if (!fresh.querySelector("[data-problem]") || !document.querySelector("#look .te-frame"))
        byId("look-letter").replaceWith(fresh.querySelector("#look-letter"));
      byId("look-remarks").replaceWith(fresh.querySelector("#look-remarks"));
      showStage(fresh.querySelector("#look-stage"));
      shown();
    }

    /* The old picture stays until the new one is there; of a source that cannot be read, the last. */
    function showStage(fresh) {
      const stage = byId("look-stage");
      stage.querySelector(".te-plain-text").replaceWith(fresh.querySelector(".te-plain-text"));
      const frames = fresh.querySelectorAll(".te-frame");
      const isBroken = document.querySelector("#look [data-problem]") !== null;
      stage.classList.toggle("is-stale", isBroken && stage.querySelector(".te-frame") !== null);
      if (frames.length === 0) {
        if (isBroken && stage.querySelector(".te-frame")) return;
        stage.querySelectorAll(".te-frame, .te-none").forEach((one) => one.remove());
        stage.append(...fresh.querySelectorAll(".te-none"));
        return;
      }
      stage.querySelectorAll(".te-none").forEach((one) => one.remove());
      for (const frame of frames) replaceFrame(stage, document.importNode(frame, true));
    }

    function replaceFrame(stage, frame) {
      const kind = frame.classList.contains("is-dark") ? "is-dark" : "is-light";
      const old = [...stage.querySelectorAll(`.te-frame.${kind}`)];
      const seen = old.filter((one) => !one.classList.contains("is-coming"));
      old.filter((one) => one.classList.contains("is-coming")).forEach((one) => one.remove());
      if (seen.length > 0 && getComputedStyle(seen[0]).display !== "none") {
        frame.classList.add("is-coming");
        frame.addEventListener("load", () => {
          frame.classList.remove("is-coming");
          seen.forEach((one) => one.remove());
        }, { once: true });
      } else {
        seen.forEach((one) => one.remove());
      }
      stage.append(frame);
    }

    /* --- saving --- */

    function showFaults(faults) {
      const rest = [];
      for (const slot of form.querySelectorAll(".te-fault")) slot.textContent = "";
      for (const { field, message } of faults) {
        const slot = field && form.querySelector(`[data-field="${CSS.escape(field)}"] .te-fault`);
        if (slot) slot.textContent = message;
        else rest.push(message);
      }
      const box = byId("te-faults");
      box.hidden = rest.length === 0;
      box.textContent = rest.join(" ");
      if (faults.length > 0) refused(faults);
    }

    async function save() {
      if (!canSave) return false;
      tell("Saving …", "");
      fill();
      isDirty = false;
      try {
        const reply = await fetch(form.action, {
          method: "POST",
          body: new FormData(form),
          credentials: "same-origin",
          headers: { "X-Requested-With": "fetch" },
        });
        if (reply.redirected || (!reply.ok && reply.status !== 422)) throw new Error(reply.status);
        const told = await reply.json();
        form.elements.unchanged_since.value = told.unchanged_since;
        showFaults(told.faults ?? []);
        if (told.faults) throw new Error("faults");
        tell(isDirty ? "Not saved" : "Draft saved", isDirty ? "" : "is-good");
        return true;
      } catch (error) {
        isDirty = true;
        tell(error.message === "faults" ? "Not saved: see the red lines" : "Not saved: the server does not answer.", "is-bad");
        return false;
      }
    }

    form.addEventListener("submit", (event) => {
      if (event.submitter?.hasAttribute("data-save") || !event.submitter) {
        event.preventDefault();
        save();
      } else {
        fill();
        isDirty = false;
      }
    });
    document.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s") {
        event.preventDefault();
        save();
      }
    });
    addEventListener("beforeunload", (event) => {
      if (isDirty && canSave) event.preventDefault();
    });
    return { touched, soon, save };
  };
})();
