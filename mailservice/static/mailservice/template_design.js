/* The visual editor's page: opens the draft, makes sure nothing of it is lost, saves it. */
(() => {
  "use strict";

  const form = document.getElementById("td");
  if (!form || !window.grapesjs) return;
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("td-data").textContent);
  const body = byId("td-body");
  const plugin = window["grapesjs-mjml"].default ?? window["grapesjs-mjml"];
  let saved = "";
  let isReady = false;

  /* --- the console's colours --- */

  function follow() {
    let theme = form.closest("html").dataset.theme;
    try {
      theme ||= JSON.parse(localStorage.getItem("adminTheme"));
    } catch {
      /* Kept by another version: the system decides. */
    }
    const isDark = theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.classList.toggle("dark", isDark);
  }
  follow();
  document.documentElement.classList.add("is-scripted");

  /* --- the editor --- */

  const editor = grapesjs.init({
    container: "#td-canvas",
    height: "100%",
    width: "auto",
    telemetry: false,
    storageManager: false,
    cssIcons: "",
    noticeOnUnload: false,
    showOffsets: false,
    fromElement: false,
    avoidInlineStyle: false,
    panels: { defaults: [] },
    parser: { optionsHtml: { keepEmptyTextNodes: true } },
    /* Pictures have addresses, which stand among the settings; there is nothing to upload. */
    assetManager: { upload: false, custom: { open: () => showSide("settings"), close: () => {} } },
    blockManager: { appendTo: "#td-blocks" },
    layerManager: { appendTo: "#td-layers", showWrapper: false },
    styleManager: { appendTo: "#td-styles" },
    traitManager: { appendTo: "#td-traits" },
    selectorManager: { custom: true },
    deviceManager: {
      devices: [{ name: "Desktop", width: "" }, { name: "Mobile portrait", width: "375px", widthMedia: "480px" }],
    },
    canvas: { frameStyle: frameStyle() },
    plugins: [
      (one) => plugin(one, {
        resetBlocks: false, resetStyleManager: false, resetDevices: false, useCustomTheme: false, blocks: [],
        columnsPadding: "", customComponents: [losslessMjml(data)],
      }),
      templateBlocks,
    ],
  });

  function frameStyle() {
    return `
      body { background: #fff; margin: 0; }
      [data-gjs-type=mj-column] { min-height: 24px; }
      .ms-kept { cursor: grab; }
      tr.ms-kept { display: table; width: 100%; }
      .ms-kept-note { background: #e0e7ff; color: #3730a3; font: 500 11px/18px system-ui, sans-serif; padding: 0 8px; }
      .ms-kept-inner { opacity: .75; outline: 1px dashed #818cf8; outline-offset: -1px; pointer-events: none; }
      * ::-webkit-scrollbar { width: 8px; }
      ${data.css}`;
  }

  const written = () => editor.getHtml().trim();

  /* Shown in the form only when it is sent: writing a whole mail costs some milliseconds. */
  const desk = templateDesk(form, {
    fill() {
      form.elements.canvas.value = written();
    },
    shown: count,
  });

  function count() {
    const found = document.querySelectorAll("#look .te-list .is-error, #look .te-list .is-warning").length;
    byId("td-count").hidden = found === 0;
    byId("td-count").textContent = String(found);
  }

  async function open() {
    editor.setComponents(data.markup);
    editor.UndoManager.clear();
    const lost = await lostOnTheWay();
    if (lost) {
      byId("td-lost").textContent = lost;
      byId("td-refused").hidden = false;
      form.querySelectorAll("button, #td-body, .td-lines").forEach((one) => (one.inert = true));
      return;
    }
    saved = written();
    isReady = true;
    count();
  }

  async function lostOnTheWay() {
    const sent = new FormData(form);
    sent.set("canvas", written());
    try {
      const reply = await fetch(form.dataset.check, { method: "POST", body: sent, credentials: "same-origin" });
      if (!reply.ok || reply.redirected) return `not known: the server answered ${reply.status}`;
      return (await reply.json()).lost;
    } catch {
      return "not known: the server does not answer";
    }
  }

  editor.onReady(open);
  /* Drawing fires the same events as editing; only a changed mail counts. */
  let looking = 0;
  editor.on("update", () => {
    if (!isReady) return;
    clearTimeout(looking);
    looking = setTimeout(() => {
      const now = written();
      if (now === saved) return;
      saved = now;
      desk.touched();
    }, 150);
  });

  /* --- panels --- */

  function showSide(name) {
    body.dataset.side = name;
    for (const one of body.querySelectorAll(".td-sides button")) one.classList.toggle("is-on", one.dataset.side === name);
  }
  body.querySelector(".td-sides").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) showSide(button.dataset.side);
  });

  function settle() {
    const one = editor.getSelected();
    byId("td-none").hidden = Boolean(one);
    byId("td-settings").hidden = !one;
    if (!one) return;
    byId("td-selected").textContent = one.getName();
    byId("td-insert").hidden = one.get("type") !== "mj-text" && one.get("type") !== "mj-button";
    byId("td-traits").hidden = one.getTraits().length === 0;
    byId("td-styles").hidden = !Array.isArray(one.get("stylable")) || one.get("stylable").length === 0;
  }
  editor.on("component:selected", () => {
    settle();
    if (isReady && body.dataset.side === "blocks") showSide("settings");
  });
  editor.on("component:deselected", settle);

  byId("td-preview").addEventListener("click", () => {
    const isOn = body.classList.toggle("is-previewing");
    byId("td-preview").setAttribute("aria-pressed", String(isOn));
    byId("td-preview").classList.toggle("is-on", isOn);
    if (isOn && isReady) desk.soon();
    setTimeout(() => editor.refresh(), 50);
  });

  byId("td-tools").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.device) {
      editor.setDevice(button.dataset.device);
      for (const one of byId("td-tools").querySelectorAll("[data-device]")) one.classList.toggle("is-on", one === button);
    } else if (button.dataset.do === "outlines") {
      const isOn = button.classList.toggle("is-on");
      if (isOn) editor.runCommand("sw-visibility");
      else editor.stopCommand("sw-visibility");
    } else editor.UndoManager[button.dataset.do]();
  });
  editor.onReady(() => editor.runCommand("sw-visibility"));

  /* --- variables --- */

  let names = [];
  try {
    names = templateVariables(JSON.parse(form.elements.sample.value || "{}"));
  } catch {
    /* The sample data are no JSON: the preview says so. */
  }
  const options = () => names.map((name) => {
    const option = document.createElement("option");
    option.value = option.textContent = name;
    return option;
  });
  byId("td-variables").append(...options());
  byId("td-variables").addEventListener("change", (event) => {
    const one = editor.getSelected();
    if (one && event.target.value) one.append({ type: "textnode", content: ` {{ ${event.target.value} }}` });
    event.target.value = "";
  });
  if (names.length > 0) {
    const select = document.createElement("select");
    select.className = "td-rte-variables";
    select.title = "Insert a variable";
    const first = document.createElement("option");
    first.value = "";
    first.textContent = "{{ … }}";
    select.append(first, ...options());
    editor.RichTextEditor.add("variable", {
      icon: select,
      event: "change",
      attributes: { title: "Insert a variable" },
      result(rte) {
        if (select.value) rte.insertHTML(`{{ ${select.value} }}`);
        select.value = "";
      },
    });
  }

  /* --- the lines above --- */

  form.addEventListener("input", (event) => {
    if (!isReady) return;
    if (event.target.name === "marketing") desk.soon();
    else if (event.target.name === "subject" || event.target.name === "preheader") desk.touched();
  });
  form.querySelector("[name=publish]")?.addEventListener("click", async (event) => {
    event.preventDefault();
    if (await desk.save()) location.assign(form.dataset.publish);
  });
})();
